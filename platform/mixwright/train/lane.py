"""A lane: one Ray Train worker group that stays alive while Ray Tune sends it one trial after another.

What comes in: a `Setup`, then Tune's trials. What goes out: a result a rung. Between the two stands a channel, a small
actor that both sides reach:

    Tune -> Lane.step() -> Channel.assign() ... Channel.next() -> Resident.run() on every worker
    Tune <- result      <- the answer       ... Channel.answer() <- worker 0

In stock Ray every trial starts a worker group, imports torch, loads the base model and sets DeepSpeed up. A lane does
that once: `reuse_actors` hands the next trial to `reset_config`, and the resident workers swap adapter and optimiser. A
worker that dies is started again by Ray Train and asks the channel what it was doing; the trial goes on from its last
checkpoint.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import threading
from dataclasses import dataclass
from typing import Any

import ray
from ray import train as ray_train
from ray import tune
from ray.train.torch import TorchConfig, TorchTrainer

from mixwright.config import ClusterConfig, SweepConfig
from mixwright.errors import MixwrightError
from mixwright.records import RungRecord, to_json, write_text
from mixwright.train.reporter import BASE_FILE, FolderReporter
from mixwright.train.resident import Assignment, Evaluation, Resident, Setup

logger = logging.getLogger(__name__)

TRIAL_KEY = "trial_id"
EVALUATE_BASE = "evaluate_base"
"""Names in a Tune config beside the searched keys: our stable trial id, and whether this trial evaluates the base model first."""

CLOSE_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What worker 0 says of an assignment; `cause` is set where it failed."""

    result: RungRecord | Evaluation | None = None
    cause: str = ""


class Channel:
    """The actor between a lane and its workers: at most one assignment is open at a time."""

    def __init__(self) -> None:
        self._number = 0
        self._assignment: Assignment | None = None
        self._answer: Answer | None = None
        self._closed = ""
        self._changed = asyncio.Condition()

    async def assign(self, assignment: Assignment) -> Answer:
        """Hands an assignment to the workers and waits for the answer; a closed lane answers with its cause."""
        async with self._changed:
            self._number, self._assignment, self._answer = self._number + 1, assignment, None
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._answer is not None or bool(self._closed))
            return self._answer or Answer(cause=self._closed)

    async def next(self, after: int) -> tuple[int, Assignment | None]:
        """The first assignment numbered above `after`, when there is one; None once the lane is closed."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._number > after or bool(self._closed))
            return self._number, None if self._closed else self._assignment

    async def answered(self) -> int:
        """Number of the last assignment that has an answer: where a restarted worker group takes up."""
        return self._number if self._answer is not None else self._number - 1

    async def answer(self, number: int, answer: Answer) -> None:
        """Takes worker 0's answer; one to an older assignment is dropped."""
        async with self._changed:
            if number == self._number:
                self._answer = answer
                self._changed.notify_all()

    async def close(self, cause: str) -> None:
        """Ends the workers' loop; an open assignment is answered with `cause`."""
        async with self._changed:
            self._closed = self._closed or cause
            self._changed.notify_all()


def _work(loop_config: dict[str, Any]) -> None:
    """Runs on every worker of the group for as long as the lane lives."""
    logging.getLogger("mixwright").setLevel(logging.INFO)
    channel, setup = loop_config["channel"], ray.get(loop_config["setup"][0])
    reporter = TrainReporter(setup.run_dir)
    resident = Resident(setup, device=str(ray_train.torch.get_device()), reporter=reporter)
    rank = ray_train.get_context().get_world_rank()
    done = max(0, ray.get(channel.answered.remote()))
    while True:
        number, assignment = ray.get(channel.next.remote(done))
        if assignment is None:
            return
        answer = _answer(resident, assignment)
        if rank == 0:
            ray.get(channel.answer.remote(number, answer))
        if isinstance(answer.result, RungRecord):
            reporter.rung(assignment.trial_id, answer.result)
        done = number


class TrainReporter(FolderReporter):
    """The folder's reporter, which also tells Ray Train of rungs, for the dashboard; checkpoints are the resident's own."""

    def rung(self, trial_id: str, record: RungRecord) -> None:
        super().rung(trial_id, record)
        ray_train.report({TRIAL_KEY: trial_id, "step": record.step, **to_json(record.objectives)})


def _answer(resident: Resident, assignment: Assignment) -> Answer:
    """A trial's own failure is an answer, known to every worker alike; any other error ends the group and restarts it."""
    try:
        return Answer(result=resident.run(assignment) if assignment.trial_id else resident.evaluate_base())
    except MixwrightError as error:
        return Answer(cause=str(error))


class Lane(tune.Trainable):
    """Ray Tune's side of a lane. One `step` is one rung of the trial that is on it."""

    def setup(self, config: dict[str, Any], setup_ref: list[Any] | None = None) -> None:
        assert setup_ref is not None
        self._setup_ref = setup_ref
        self._setup: Setup = ray.get(setup_ref[0])
        self._start_workers(config[TRIAL_KEY])
        self._begin(config)

    def _start_workers(self, first_trial: str) -> None:
        """A new channel and a new worker group; the thread below lives as long as the group does."""
        self._channel: Any = ray.remote(num_cpus=0)(Channel).remote()
        self._thread = threading.Thread(target=self._run_workers, args=(self._channel, f"lane-{first_trial}"), daemon=True)
        self._thread.start()

    def _begin(self, config: dict[str, Any]) -> None:
        values = {key: value for key, value in config.items() if key not in (TRIAL_KEY, EVALUATE_BASE)}
        self._trial_config: SweepConfig = self._setup.config.with_values(values)
        self._trial_key: str = config[TRIAL_KEY]
        self._evaluate_base: bool = config.get(EVALUATE_BASE, False)
        self._rung = 0

    def step(self) -> dict[str, Any]:
        """One rung. A trial that cannot go on ends with its `cause` as a result: raising would cost the lane its warm workers."""
        if self._evaluate_base:
            base = self._ask(Assignment(trial_id="", config=self._trial_config, rung=0))
            if base.result is None:
                return self._ended(base.cause)
            write_text(self._setup.run_dir / BASE_FILE, json.dumps(to_json(base.result), indent=2))
            self._evaluate_base = False
        answer = self._ask(Assignment(trial_id=self._trial_key, config=self._trial_config, rung=self._rung))
        if not isinstance(answer.result, RungRecord):
            return self._ended(answer.cause)
        record = to_json(answer.result)
        scheduler = self._trial_config.search.scheduler
        self._rung += 1
        return {
            **record["objectives"],
            "rung": record,
            "halving_time": scheduler.reduction_factor ** (self._rung - 1),
            "done": self._rung == len(scheduler.rungs),
        }

    def _ended(self, cause: str) -> dict[str, Any]:
        nothing = dict.fromkeys(("seen", "unseen", "retention"), math.nan)
        return {
            **nothing,
            "cause": cause,
            "halving_time": self._trial_config.search.scheduler.reduction_factor**self._rung,
            "done": True,
        }

    def _ask(self, assignment: Assignment) -> Answer:
        answer: Answer = ray.get(self._channel.assign.remote(assignment))
        return answer

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes the next trial on the warm workers, or on new ones where the last trial's died for good."""
        if not self._thread.is_alive():
            logger.warning("the workers of the trial before have died; %s starts new ones", new_config[TRIAL_KEY])
            self._start_workers(new_config[TRIAL_KEY])
        self._begin(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Nothing of Tune's own: a trial that starts again is handed the rungs that it has on disk."""
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """See `save_checkpoint`."""

    def cleanup(self) -> None:
        """Ends the workers and waits until Ray Train has given their placement group back."""
        ray.get(self._channel.close.remote("the lane was closed"))
        self._thread.join(CLOSE_TIMEOUT_S)

    def _run_workers(self, channel: Any, name: str) -> None:
        setup = self._setup
        trainer = TorchTrainer(
            _work,
            train_loop_config={"channel": channel, "setup": self._setup_ref},
            torch_config=TorchConfig(backend="nccl" if setup.config.cluster.gpus_per_worker else "gloo"),
            scaling_config=scaling(setup.config.cluster),
            run_config=ray_train.RunConfig(
                name=name,
                storage_path=str((setup.run_dir / "ray" / "lanes").resolve()),
                failure_config=ray_train.FailureConfig(max_failures=setup.config.cluster.max_failures),
            ),
        )
        cause = "the lane's workers ended"
        try:
            trainer.fit()
        except Exception as error:  # whatever ended the group must reach the trial that waits for it
            logger.exception("%s: its workers ended", name)
            cause = (
                f"the lane's workers ended: {str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__}"
            )
        ray.get(channel.close.remote(cause))


def scaling(cluster: ClusterConfig) -> ray_train.ScalingConfig:
    """One trial's worker group."""
    resources: dict[str, float] = {"CPU": cluster.cpus_per_worker}
    if cluster.gpus_per_worker:
        resources["GPU"] = cluster.gpus_per_worker
    return ray_train.ScalingConfig(
        num_workers=cluster.workers, use_gpu=cluster.gpus_per_worker > 0, resources_per_worker=resources, placement_strategy="PACK"
    )
