"""Runs trials on the tiny model in two real processes, without Ray: `run_trials` returns what each worker saw.

Training is plain Python below lane.py; a gloo group over a file is all that it needs.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.multiprocessing as multiprocessing

from mixwright.config import SweepConfig
from mixwright.data.prepare import PreparedData
from mixwright.records import GENERIC, Example, Objectives, RungRecord
from mixwright.scenarios import Scenario
from mixwright.train.resident import Assignment, Evaluation, Resident, Setup

PATIENCE = timedelta(seconds=60)
"""A worker that waits longer for a neighbour fails: none may be left behind at a barrier."""

SCENARIO = Scenario.model_validate(
    {
        "name": "shouting",
        "tasks": [{"name": "louder", "metric": "sari", "instructions": {"train": ["Say it loud."], "evaluation": ["Shout."]}}],
    }
)


@dataclass(frozen=True)
class Step:
    """One assignment of a script.

    `leave_first` makes the worker forget the trial before, as a restart would; `before` then runs, on worker 0 or on all of them.
    After `notice_after` steps the last worker alone is told that its machine goes.
    """

    trial_id: str
    values: dict[str, Any]
    rung: int
    leave_first: bool = False
    before: Callable[[], object] | None = None
    before_on_all: bool = False
    notice_after: int | None = None


def data(rows: int = 40) -> PreparedData:
    louder = [Example(id=f"l:{i}", source="s", task="louder", text=f"word {i}", references=(f"WORD {i}",)) for i in range(rows)]
    generic = [
        Example(id=f"g:{i}", source="s", task=GENERIC, text="", instruction=f"What is {i} + 1?", references=(str(i + 1),))
        for i in range(rows)
    ]
    return PreparedData(train={"louder": louder, GENERIC: generic}, dev={}, test={}, report={})


def config(
    model: Path, *, rungs: tuple[float, ...] = (0.5, 1.0), searched: dict[str, Any] | None = None, **train: Any
) -> SweepConfig:
    # Rows of some 40 tokens: a worker makes several passes a step.
    passes = {"micro_batch_size": 2, "gradient_accumulation": 2, "tokens_per_pass": 100}
    recipe = {**passes, "learning_rate": 5e-3, "precision": "fp32", **train}
    return SweepConfig.model_validate(
        {
            "name": "t",
            "model": {"name": str(model)},
            "lora": {"rank": 4},
            "mixture": {"size": 36},
            "train": recipe,
            "search": {"scheduler": {"rungs": list(rungs)}, "parameters": searched or {}},
        }
    )


TOO_LARGE = 3
"""A LoRA rank at which the evaluator below finds the memory full."""


class FirstLogit:
    """An evaluator that is a function of the weights alone: it shows whether two models are the same."""

    def __call__(self, model: Any, config: SweepConfig) -> Evaluation:
        import torch

        if config.lora.rank == TOO_LARGE:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        model.eval()
        with torch.no_grad():
            value = float(model(input_ids=torch.arange(20)[None]).logits.float().abs().mean())
        return Evaluation(objectives=Objectives(seen=value, unseen=None, retention=0.0), task_scores={"louder": value})


def _make_evaluator(setup: Setup, base: Any) -> FirstLogit:
    return FirstLogit()


@dataclass(frozen=True)
class Lane:
    """A script for one resident worker group, in a folder of its own."""

    settings: SweepConfig
    run_dir: Path
    script: list[Step]
    address: str = ""
    """Of a run on object storage: each worker is then on a node with a disk of its own, below `run_dir`."""


def _worker(rank: int, world_size: int, lanes: list[Lane], results: Any) -> None:
    import torch
    import torch.distributed

    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", rank=rank, world_size=world_size, init_method=f"file://{lanes[0].run_dir}/group", timeout=PATIENCE
    )
    results[rank] = [_run(lane, rank) for lane in lanes]
    torch.distributed.destroy_process_group()


def _run(lane: Lane, rank: int) -> list[RungRecord | str]:
    import torch.distributed

    settings, run_dir = lane.settings, lane.run_dir
    if lane.address:
        os.environ["MIXWRIGHT_CACHE"] = str(run_dir / f"node-{rank}")
    precision = "bf16" if settings.train.precision == "bf16" else "fp32"
    setup = Setup(
        config=settings,
        scenario=SCENARIO,
        data=data(),
        precision=precision,
        run_dir=run_dir,
        make_evaluator=_make_evaluator,
        address=lane.address,
    ).here()
    logging.getLogger("mixwright").addHandler(_warnings_file(run_dir, rank))
    steps_till_notice = itertools.repeat(1)
    resident = Resident(setup, "cpu", notice=lambda: next(steps_till_notice) == 0)
    seen: list[RungRecord | str] = []
    for step in lane.script:
        if step.leave_first:
            resident._leave_trial()
        if step.before and (rank == 0 or step.before_on_all):
            step.before()
        torch.distributed.barrier()
        told = step.notice_after is not None and rank == torch.distributed.get_world_size() - 1
        steps_till_notice = iter(range(step.notice_after - 1, -1, -1)) if told else itertools.repeat(1)
        assignment = Assignment(trial_id=step.trial_id, config=settings.with_values(step.values), rung=step.rung)
        try:
            seen.append(resident.run(assignment))
        except Exception as error:
            seen.append(f"{type(error).__name__}: {error}")
    return seen


def _warnings_file(run_dir: Path, rank: int) -> logging.Handler:
    handler = logging.FileHandler(run_dir / f"warnings-{rank}.txt")
    handler.setLevel(logging.WARNING)
    return handler


def run_trials(settings: SweepConfig, run_dir: Path, script: list[Step], world_size: int) -> list[Any]:
    """What worker 0 saw: a RungRecord for each step of the script, or the error as text. All workers must have seen the same."""
    return run_lanes([Lane(settings, run_dir, script)], world_size)[0]


def run_lanes(lanes: list[Lane], world_size: int) -> list[list[Any]]:
    """The same for several lanes, one after another in the same processes."""
    for lane in lanes:
        lane.run_dir.mkdir(parents=True, exist_ok=True)
    (lanes[0].run_dir / "group").unlink(missing_ok=True)
    with multiprocessing.Manager() as manager:
        results = manager.dict()
        multiprocessing.spawn(_worker, args=(world_size, lanes, results), nprocs=world_size)
        collected = [list(results[rank]) for rank in range(world_size)]
    for other in collected[1:]:
        assert [[_shape(item) for item in seen] for seen in other] == [[_shape(item) for item in seen] for seen in collected[0]]
    return collected[0]


def _shape(item: Any) -> Any:
    return item if isinstance(item, str) else (item.step, item.tokens)
