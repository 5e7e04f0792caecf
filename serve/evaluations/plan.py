"""From a request to what it asks in full: rows, adapters' contents and decoding, and an id that says the same.

What comes in: an `EvaluationRequest` and the run that is served. What goes out: a `Plan` with its rows. The id is a digest of all
that the answers and scores hang on, so the same request finds what was done for it, and a new adapter under an old name does not.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from mixwright.config import SweepConfig
from mixwright.data.prepare import prepare
from mixwright.decoding import Decoding
from mixwright.errors import ModelError
from mixwright.evaluate.answer_file import answer_key
from mixwright.evaluate.runner import EvaluationRow, evaluation_rows
from mixwright.generate.residents import Found
from mixwright.models import COMPLETE
from mixwright.records import BASE, Example, to_json
from mixwright.scenarios import Scenario
from serve.errors import ADAPTER_NOT_FOUND, RefusedError, unknown_task
from serve.evaluations.shapes import EvaluationRequest, EvaluationSplit, SettledRequest

_CHUNK_BYTES = 1 << 20


class Plan(BaseModel):
    """What one evaluation asks; the content of its `request.json`."""

    model_config = ConfigDict(frozen=True)

    id: str
    created: float
    tasks: tuple[str, ...]
    split: EvaluationSplit
    limit: int
    adapters: dict[str, str]
    """Name -> digest of its contents."""
    decoding: Decoding
    max_new_tokens: int
    model: str
    """Digest of what is served beside adapters: model and precision."""
    total: int
    """Answers."""
    draws: int
    seed: int

    def key(self, adapter: str, instruction: str, text: str) -> str:
        """A name for one answer: everything that it hangs on, and nothing of the evaluation that asks."""
        decoding = self.decoding.record(self.max_new_tokens)
        contents = self.adapters[adapter]
        return answer_key(model=self.model, adapter=contents, instruction=instruction, text=text, decoding=decoding)

    @property
    def settled(self) -> SettledRequest:
        """As clients see it."""
        return SettledRequest(
            tasks=list(self.tasks),
            split=self.split,
            limit=self.limit,
            adapters=list(self.adapters),
            decoding=self.decoding,
            max_new_tokens=self.max_new_tokens,
        )


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan with the rows that each adapter is asked."""

    plan: Plan
    rows: tuple[EvaluationRow, ...]


class Adapters(Protocol):
    """Where adapters stand; see `serve.adapters.AdapterStore`."""

    def locate(self, name: str) -> Found:
        """The folder of one.

        Raises:
            ModelError: there is none of this name.
        """
        ...


class Planner:
    """Settles requests against one run. Its data are read once, when the first request comes."""

    def __init__(self, config: SweepConfig, scenario: Scenario, served: Mapping[str, Any], adapters: Adapters) -> None:
        """Reads nothing yet.

        Args:
            config: the run's.
            scenario: as it is served, with the tasks that were held out.
            served: what answers hang on beside adapters and requests; plain JSON.
            adapters: those that can be asked for, without base.
        """
        self._config, self._scenario, self._adapters = config, scenario, adapters
        self._model = answer_key(**served)
        self._digests: dict[tuple[tuple[str, int, int], ...], str] = {}
        self._examples: dict[str, dict[str, list[Example]]] = {}

    def plan(self, request: EvaluationRequest) -> Planned:
        """The request in full; seconds where the data are read, or an adapter's contents are new.

        Raises:
            RefusedError: an unknown task or adapter.
            MixwrightError: the run's data cannot be read.
        """
        names = [task.name for task in self._scenario.tasks]
        for task in () if request.tasks == "all" else request.tasks:
            if task not in names:
                raise unknown_task(task, names, param="tasks")
        asked = names if request.tasks == "all" else [name for name in names if name in request.tasks]
        adapters = {name: self.digest(name) for name in dict.fromkeys(request.adapters)}
        settings = self._config.evaluation
        limit = request.limit or (settings.dev_rows if request.split == "dev" else settings.test_rows)
        rows = self._rows(request.split, asked, limit)
        content: dict[str, Any] = {
            "tasks": [task for task in asked if any(row.task == task for row in rows)],
            "split": request.split,
            "limit": limit,
            "adapters": adapters,
            "decoding": (request.decoding or settings.decoding).model_dump(mode="json"),
            "max_new_tokens": request.max_new_tokens or settings.max_new_tokens,
            "model": self._model,
            "total": len(rows) * len(adapters),
            "draws": settings.bootstrap_draws,
            "seed": self._config.search.seed,
        }
        digest = answer_key(**content, rows=[to_json(row) for row in rows])
        return Planned(plan=Plan(id=f"eval-{digest[:24]}", created=time.time(), **content), rows=rows)

    def digest(self, adapter: str) -> str:
        """A name for an adapter's contents, from the bytes of its files; `base` for base, which the model's own digest covers.

        Raises:
            RefusedError: there is no such adapter.
        """
        if adapter == BASE:
            return BASE
        try:
            folder = self._adapters.locate(adapter).folder
        except ModelError as error:
            raise RefusedError(404, f"adapters: {error}", param="adapters", code=ADAPTER_NOT_FOUND) from None
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != COMPLETE)
        stats = [path.stat() for path in files]
        seen = tuple((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in zip(files, stats, strict=True))
        if seen not in self._digests:
            self._digests[seen] = _contents(folder, files)
        return self._digests[seen]

    def _rows(self, split: EvaluationSplit, tasks: Sequence[str], limit: int) -> tuple[EvaluationRow, ...]:
        if not self._examples:
            data = prepare(self._config.data, self._scenario, seed=self._config.search.seed)
            self._examples = {"dev": data.dev, "test": data.test}  # training rows, by far the most, are not kept
        chosen = {task: self._examples[split].get(task, []) for task in tasks}
        scenario = self._scenario.model_copy(update={"tasks": tuple(task for task in self._scenario.tasks if task.name in chosen)})
        return tuple(evaluation_rows(scenario, chosen, rows=limit, seed=self._config.search.seed))


def _contents(folder: Path, files: Sequence[Path]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        digest.update(f"{path.relative_to(folder)}|{path.stat().st_size}|".encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()
