"""Small made-up files in every format, for the tests of readers and of preparation."""

import json
from pathlib import Path

from mixwright.config import SourceConfig
from mixwright.data.readers import Reading, read


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def write_jsonl(path: Path, rows: list[dict]) -> Path:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


def source(format: str, **settings) -> SourceConfig:
    return SourceConfig(name="made", format=format, **settings)


def reading(root: Path, format: str, **settings) -> Reading:
    return read(source(format, **settings), root)
