"""An evaluator for lanes: scores that follow from the LoRA rank, and a line for each evaluation of each worker."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from mixwright.config import SweepConfig
from mixwright.records import Objectives, append_line
from mixwright.train import workers
from mixwright.train.resident import Evaluation, Setup

TOO_LARGE = 3
"""The rank at which the second worker, and it alone, finds its memory full."""


class ScriptedEvaluator:
    """The higher the rank, the better the score."""

    def __init__(self, setup: Setup, base: Any) -> None:
        self._log = setup.run_dir / "evaluations.jsonl"
        self._calls = 0

    def __call__(self, model: Any, config: SweepConfig) -> Evaluation:
        import torch

        self._calls += 1  # the first is of the base model
        if self._calls > 1 and config.lora.rank == TOO_LARGE and workers.rank() == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        line = {"rank": config.lora.rank, "worker": workers.rank(), "pid": os.getpid(), "at": time.time(), "node": _node()}
        append_line(self._log, json.dumps(line))
        self._hold()
        score = float(config.lora.rank)
        return Evaluation(objectives=Objectives(seen=score, unseen=0.0, retention=0.0), task_scores={"clarity": score})

    def _hold(self) -> None:
        """Returns at once."""


class HeldEvaluator(ScriptedEvaluator):
    """Takes as long as the file `hold` is in the run folder."""

    def _hold(self) -> None:
        while self._log.with_name("hold").exists():
            time.sleep(0.1)


def _node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def evaluations(run_dir: Path) -> list[dict[str, Any]]:
    """What all workers wrote, in the order of time; the base model's evaluation left out."""
    lines = [json.loads(line) for line in (run_dir / "evaluations.jsonl").read_text().splitlines()]
    own = [[line for line in lines if line["pid"] == pid] for pid in dict.fromkeys(line["pid"] for line in lines)]
    base = {id(mine[0]) for mine in own[:2]}
    return [line for line in lines if id(line) not in base]
