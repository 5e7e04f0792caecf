"""HTML from the templates of this room: one self-contained file that fetches nothing and runs no script but our own.

What comes in: a template's name and what it shows. What goes out: the page. Everything that a model or a data set wrote is escaped
by the template; should any markup slip through all the same, the content policy lets a browser run the one script whose hash it
names.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mixwright.report import cells, wording

_FOLDER = Path(__file__).parent


def render(template: str, **values: Any) -> str:
    """The page of `templates/TEMPLATE`, with the style and the script that all pages share."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": wording.number,
        "signed": wording.signed,
        "interval": cells.score_interval,
        "p_value": cells.p_value,
        "task": wording.task_label,
        "metric": wording.metric_label,
        "system": wording.system_label,
        "mix": wording.mix_phrase,
    }
    script = (_FOLDER / "rows.js").read_text(encoding="utf-8")
    return environment.get_template(template).render(
        style=Markup((_FOLDER / "style.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **values,
    )
