"""What all readers share: rows, places in files, and the errors of unreadable files.

What comes in: a path. What goes out: its lines or its JSON value, or one `DataError` that names file, line and way out.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixwright.config import SourceConfig
from mixwright.errors import DataError, did_you_mean

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row as its file has it, before detokenisation and checks."""

    place: str
    """Where it stands within its source, `LINE` or `FILE:LINE`; the example's id is made of it."""
    text: str
    references: tuple[str, ...]
    task: str = ""
    """Empty: the source's task."""
    group: str = ""
    """Name of the document; empty where the format has none."""
    instruction: str = ""


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file of a source."""

    path: Path
    prefix: str
    """`FILE:` where the source is a folder, else empty; opens the places of its rows."""


def source_path(source: SourceConfig, root: Path) -> Path:
    """Where the source's file or folder stands; relative paths count from `root`."""
    assert source.path is not None, "the configuration refuses sources without a path"
    return root / source.path


def source_files(source: SourceConfig, root: Path, suffixes: Sequence[str]) -> list[SourceFile]:
    """The source's file, or all files of its folder with one of the suffixes, recursively and in the order of their names.

    An empty file among others of a folder is passed over with a warning; alone it is an error when it is read.

    Raises:
        DataError: nothing is there, or the folder holds no such file.
    """
    path = source_path(source, root)
    if path.is_file():
        return [SourceFile(path=path, prefix="")]
    if not path.is_dir():
        near = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"{path}: no such file or folder; correct `path` or `data.root`{did_you_mean(path.name, near)}")
    found = [item for item in path.rglob("*") if item.suffix in suffixes and item.is_file()]
    filled = [item for item in found if item.stat().st_size > len(os.linesep)]
    if not filled:
        raise DataError(f"{path}: the folder holds no rows in files ending in {' or '.join(suffixes)}; give the path of one file")
    if len(filled) < len(found):
        logger.warning("%s: passed over %d empty files in %s", source.name, len(found) - len(filled), path)
    relative = sorted((item.relative_to(path).as_posix(), item) for item in filled)
    return [SourceFile(path=item, prefix=f"{name}:") for name, item in relative]


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark and with plain line ends.

    Raises:
        DataError: missing, a folder, empty, or not UTF-8 (line and byte are named).
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        near = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"{path}: no such file; correct `path` or `data.root`{did_you_mean(path.name, near)}") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder; this format reads one file") from None
    except PermissionError:
        raise DataError(f"{path}: may not be read; change its permissions") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        value = raw[error.start]
        raise DataError(f"{path}:{line}: must be UTF-8, byte {error.start} is 0x{value:02x}; save the file as UTF-8") from None
    if not text.strip():
        raise DataError(f"{path}: is empty; it must hold at least one row")
    return text.replace("\r\n", "\n")


def read_lines(path: Path) -> list[str]:
    """The lines of a file, split at line feeds alone: other separators of Unicode occur within sentences.

    Raises:
        DataError: as `read_text`.
    """
    lines = read_text(path).split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and objects of a JSONL file; blank lines are passed over.

    Raises:
        DataError: as `read_text`, or a line is not a JSON object.
    """
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}:{number}: not valid JSON at column {error.colno}: {error.msg}; mend or remove the line"
            ) from None
        if not isinstance(value, dict):
            raise DataError(f"{path}:{number}: must be a JSON object, got {type(value).__name__}; mend or remove the line")
        yield number, value


def text_field(row: dict[str, Any], column: str, where: str) -> str:
    """A column that holds text.

    Raises:
        DataError: the column is absent, or holds something else.
    """
    if column not in row:
        raise DataError(f"{where}: no column '{column}'; the row has {', '.join(row) or 'none'}{did_you_mean(column, row)}")
    value = row[column]
    if not isinstance(value, str):
        raise DataError(f"{where}: column '{column}' must hold text, got {_shown(value)}; mend or remove the row")
    return value


def texts_field(row: dict[str, Any], column: str, where: str) -> tuple[str, ...]:
    """A column that holds one text or a list of texts.

    Raises:
        DataError: the column is absent, or holds something else.
    """
    value = row.get(column)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if isinstance(value, list):
        raise DataError(
            f"{where}: column '{column}' must hold text or a list of texts, got {_shown(value)}; mend or remove the row"
        )
    return (text_field(row, column, where),)


def _shown(value: Any) -> str:
    return "null" if value is None else f"{type(value).__name__} {repr(value)[:40]}"
