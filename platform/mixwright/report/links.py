"""Addresses between the files of a run, so that a folder can be moved or served as a whole.

What comes in: paths. What goes out: relative addresses.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


def link(folder: Path, file: Path) -> str:
    """Address of `file` as seen from a page in `folder`."""
    return quote(Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix())
