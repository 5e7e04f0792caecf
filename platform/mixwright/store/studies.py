"""Where a run's Optuna study is kept, and under which name: a file in the run folder, or a database that runs share.

What comes in: the run folder and `search.storage`. What goes out: a `StudyPlace`. A run gives itself an id once, in `study.json`;
in a database it is part of the study's name, so that sweeps of one name do not meet, and the study carries it, so that the study
of another run is known for what it is. A password is in the environment, and no text that is shown or written has it.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from mixwright.errors import RunError
from mixwright.records import write_text
from mixwright.settings import expand_environment

STUDY_NAME = "sweep"
"""Of the study in `study.db`, which it has to itself."""
STUDY_FILE, STUDY_ID_FILE, UNWRITTEN_FILE = "study.db", "study.json", "study-unwritten.jsonl"
PATIENCE_S = 300.0


@dataclass(frozen=True, kw_only=True)
class StudyPlace:
    """A study's address; only `shown` may be printed."""

    url: str = field(repr=False)
    """As SQLAlchemy takes it, with the password."""
    name: str = STUDY_NAME
    run: str = ""
    """Id of the run that the study belongs to; empty where nobody asks."""
    folder: Path | None = None
    """The run folder; None where the study stands alone."""
    patience_s: float = PATIENCE_S
    """How long to wait for a database that is away."""

    @property
    def shown(self) -> str:
        """The address for messages, without its password."""
        return make_url(self.url).render_as_string(hide_password=True)

    @property
    def is_file(self) -> bool:
        return self.url.startswith("sqlite")

    @property
    def unwritten(self) -> Path | None:
        """What the database lacked when it was last away."""
        return self.folder and self.folder / UNWRITTEN_FILE

    def renamed(self, name: str) -> StudyPlace:
        """The same place for a study of another name, from now on the run's."""
        place = replace(self, name=name)
        place.keep()
        return place

    def keep(self) -> None:
        """Writes down which study is the run's."""
        if self.folder:
            write_text(self.folder / STUDY_ID_FILE, json.dumps({"study": self.name, "run": self.run}) + "\n")


def study_place(folder: Path, name: str, storage: str | None, patience_s: float = PATIENCE_S) -> StudyPlace:
    """The place of the study of the run in `folder`; writes nothing.

    Args:
        name: of the sweep; a study in a shared database begins with it.
        storage: a database's URL as the configuration has it; None: `study.db` in the folder.

    Raises:
        ConfigError: a variable that the URL names is not set.
        RunError: `study.json` cannot be read.
    """
    try:
        kept = json.loads((folder / STUDY_ID_FILE).read_text(encoding="utf-8"))
        study, run = str(kept["study"]), str(kept["run"])
    except FileNotFoundError:
        run = secrets.token_hex(4)
        study = f"{name}-{run}" if storage else STUDY_NAME
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{folder / STUDY_ID_FILE}: cannot be read; give another --run-dir") from None
    url = f"sqlite:///{(folder / STUDY_FILE).resolve()}" if storage is None else database_url(storage)
    return StudyPlace(url=url, name=study, run=run, folder=folder, patience_s=patience_s)


def database_url(storage: str) -> str:
    """The URL with what `${NAME}` stands for, and with the driver that we install; parts are quoted as a URL needs it.

    Raises:
        ConfigError: a variable that it names is not set.
    """
    if storage.startswith("${"):
        storage = expand_environment(storage)
    url = make_url(storage)
    password = expand_environment(str(url.password)) if url.password is not None else None
    named = {part: expand_environment(value) for part in ("username", "host", "database") if (value := getattr(url, part))}
    filled: URL = url.set(drivername="postgresql+psycopg", password=password, **named)  # type: ignore[arg-type]
    return filled.render_as_string(hide_password=False)
