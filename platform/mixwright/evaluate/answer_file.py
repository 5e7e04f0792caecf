"""The answers of an outside model, a line each, so that a rerun asks only for what is missing.

What comes in: answers as they arrive, from any thread. What goes out: the answers that were there before, by a key that covers
all that determines one (`answer_key`): address, model, messages, decoding. Each line is flushed to disk before its answer counts,
and half a line at the end (a kill in the middle of a write) is dropped. The file stays after the evaluation: it says what each
answer cost and which model the endpoint named, and the same evaluation run again asks and pays for nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mixwright.errors import RunError
from mixwright.records import read_jsonl, to_json, write_text

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer of an outside model, with what it cost."""

    output: str
    finish: str
    """Why it ended: the endpoint's `stop`, `length` or `content_filter`, or `refusal` where the model declined."""
    model: str
    """As the endpoint named it; often more exact than what was asked for."""
    requests: int
    """Sent for this answer, failed ones included."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    """None where the endpoint did not count."""


@dataclass(frozen=True, kw_only=True)
class KeptReply:
    """A line of the file."""

    key: str
    example_id: str
    """The first row that asked; for readers of the file alone."""
    reply: Reply


def answer_key(**determinants: Any) -> str:
    """A short name for everything that an answer hangs on; the order of the arguments makes no difference."""
    whole = json.dumps(determinants, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()


class AnswerFile:
    """One system's answers; a context manager that one process at a time may hold open."""

    def __init__(self, path: Path) -> None:
        """Opens the file, new or to go on with.

        Raises:
            RunError: another process writes to it.
            DataError: a whole line is not an answer.
        """
        self.path = path
        self._writing = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._guard = path.with_name(f".{path.name}.lock").open("w", encoding="utf-8")
        try:
            fcntl.flock(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._guard.close()
            raise RunError(f"{path}: another evaluation is writing to it; wait for it, or give another --out") from None
        self._replies = _whole_lines(path)
        self._file = path.open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        self._guard.close()

    def get(self, key: str) -> Reply | None:
        """The answer kept under this key."""
        return self._replies.get(key)

    def add(self, kept: KeptReply) -> None:
        """Keeps an answer; it is on disk when this returns."""
        line = json.dumps(to_json(kept), ensure_ascii=False) + "\n"
        with self._writing:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._replies[kept.key] = kept.reply


def _whole_lines(path: Path) -> dict[str, Reply]:
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        logger.warning("%s: dropped half a line at its end, as a kill leaves one", path)
        write_text(path, whole.decode())
    return {kept.key: kept.reply for kept in read_jsonl(path, KeptReply)}
