"""A lane: one Ray Train worker group that stays alive while Ray Tune sends it one trial after another.

What comes in: a `Setup`, then Tune's trials. What goes out: a result a rung. Between the two stands a channel, a small
actor that both sides reach:

    Tune -> Lane.step() -> Channel.assign() ... Channel.next() -> Resident.run() on every worker
    Tune <- result      <- the answer       ... Channel.answer() <- worker 0

In stock Ray every trial starts a worker group, imports torch, loads the base model and sets DeepSpeed up. A lane does
that once: `reuse_actors` hands the next trial to `reset_config`, and the resident workers swap adapter and optimiser. A
worker that dies is started again by Ray Train and asks the channel what it was doing; the trial goes on from its last
checkpoint. Workers that are told of their machine's end save the trial as it is and leave; others go on elsewhere. A lane
whose own process dies takes its workers with it, and the warden gives their resources back.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray import train as ray_train
from ray import tune
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.execution.context import get_train_context
from ray.util import get_current_placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mixwright.config import ClusterConfig, SweepConfig
from mixwright.errors import MixwrightError, OutOfMemoryError, StoreError
from mixwright.records import RungRecord, to_json
from mixwright.search_config import OBJECTIVES, SCALAR
from mixwright.train import workers
from mixwright.train.loop import NodeLeavingError
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
    first_step_at: float | None = None
    """When the trial's first optimiser step on this lane ended, in seconds of `time.time`; None where it took none."""
    losses: int = 0
    """Times that the lane has lost its workers in all of its life."""
    store_is_away: bool = False
    """The cause is no fault of the trial's: nothing can be kept of any."""


class Channel:
    """The actor between a lane and its workers: at most one assignment is open at a time.

    Args:
        max_failures: times that a trial may lose its workers; one more, and the trial is answered as failed.
    """

    def __init__(self, max_failures: int) -> None:
        self._max_failures = max_failures
        self._number = 0
        self._assignment: Assignment | None = None
        self._answer: Answer | None = None
        self._closed = ""
        self._group = ""
        self._taken_up = 0
        self._workers_leave = False
        self._losses = 0
        """Times that the open assignment's trial has lost its workers."""
        self._all_losses = 0
        self._last_error = "a worker process died"
        self._changed = asyncio.Condition()

    async def assign(self, assignment: Assignment) -> Answer:
        """Hands an assignment to the workers and waits for the answer; a closed lane answers with its cause."""
        async with self._changed:
            if self._assignment is None or self._assignment.trial_id != assignment.trial_id:
                self._losses = 0
            self._number, self._assignment, self._answer = self._number + 1, assignment, None
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._answer is not None or bool(self._closed))
            return replace(self._answer or Answer(cause=self._closed), losses=self._all_losses)

    async def next(self, after: int) -> tuple[int, Assignment | None]:
        """The first assignment numbered above `after`, when there is one; None once the lane is closed."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._number > after or bool(self._closed))
            return self._number, None if self._closed else self._assignment

    async def joined(self, group: str) -> int:
        """Takes note of a worker of `group`, and says the number of the last assignment that this group need not look at.

        Before a new group another one was lost, unless that one left on purpose. Counted here and not by Ray Train, whose count
        is of the lane's whole life: a long sweep would fail a trial for what befell those before it.
        """
        async with self._changed:
            if group != self._group:
                if self._group and self._is_open() and not self._workers_leave:
                    self._count_loss()
                self._group, self._workers_leave = group, False
                self._taken_up = self._number - 1 if self._is_open() else self._number
            return self._taken_up

    def _is_open(self) -> bool:
        return self._number > 0 and self._answer is None

    def _count_loss(self) -> None:
        self._losses += 1
        self._all_losses += 1
        if self._losses > self._max_failures:
            times = "once" if self._losses == 1 else f"{self._losses} times"
            rule = f"cluster.max_failures is {self._max_failures}"
            self._answer = Answer(cause=f"the trial lost its workers {times} ({rule}); the last error: {self._last_error}")
            self._changed.notify_all()

    async def failing(self, error: str) -> None:
        """Takes the last words of a worker that an error ends."""
        self._last_error = error

    async def answer(self, number: int, answer: Answer, *, workers_leave: bool = False) -> None:
        """Takes an answer; one to an older assignment is dropped. `workers_leave` says that the group ends and another starts."""
        async with self._changed:
            self._workers_leave = self._workers_leave or workers_leave
            if number == self._number and self._answer is None:
                self._answer = answer
                self._changed.notify_all()

    async def leave(self) -> None:
        """Notes that the workers end on purpose, and that others go on with what is open: no loss of the trial's."""
        async with self._changed:
            self._workers_leave = True

    async def outlive(self) -> None:
        """Never returns: whoever waits for it hears of the end of this process, and with it of the lane's."""
        await asyncio.Event().wait()

    async def close(self, cause: str) -> None:
        """Ends the workers' loop; an open assignment is answered with `cause`."""
        async with self._changed:
            self._closed = self._closed or cause
            self._changed.notify_all()


class Warden:
    """An actor of the driver's that gives a lane's resources back when its process dies.

    Ray ends the actors of a dead process, but keeps a placement group until the job ends too, and Ray Train's own watcher asks
    the dashboard, which a cluster need not have. Until the group is gone, nobody can have its processors and GPUs.
    """

    def __init__(self) -> None:
        self._watches: dict[asyncio.Task[None], Any] = {}

    async def watch(self, channel: Any, group: Any) -> None:
        """Removes the worker group's placement group once the lane's channel has died with its lane."""
        watch = asyncio.create_task(_remove_after(channel, group))
        self._watches[watch] = group
        watch.add_done_callback(self._watches.pop)

    async def groups(self) -> set[str]:
        """Ids of the placement groups that lanes have had; some may be gone."""
        return {group.id.hex() for group in self._watches.values()}

    async def close(self) -> None:
        """Removes all placement groups that are left."""
        for watch, group in list(self._watches.items()):
            watch.cancel()
            remove_placement_group(group)


async def _remove_after(channel: Any, group: Any) -> None:
    with suppress(ray.exceptions.RayActorError):
        await channel.outlive.remote()
    remove_placement_group(group)


def _work(loop_config: dict[str, Any]) -> None:
    """Runs on every worker of the group for as long as the lane lives."""
    logging.getLogger("mixwright").setLevel(logging.INFO)
    channel = loop_config["channel"]
    try:
        _serve(channel, loop_config["setup"][0], loop_config["warden"])
    except Exception as error:
        ray.get(channel.failing.remote(_last_line(error)))
        raise


def _serve(channel: Any, setup_ref: Any, warden: Any) -> None:
    rank, group = ray_train.get_context().get_world_rank(), get_current_placement_group()
    assert group is not None
    if rank == 0:
        ray.get(warden.watch.remote(channel, group))
    done = ray.get(channel.joined.remote(group.id.hex()))
    resident = Resident(ray.get(setup_ref).here(), device=str(ray_train.torch.get_device()), notice=_noticed)
    while True:
        number, assignment = ray.get(channel.next.remote(done))
        if assignment is None:
            return
        try:
            answer = _answer(resident, assignment)
        except OutOfMemoryError as error:
            # The other workers wait in a collective that this one will never join.
            ray.get(channel.answer.remote(number, Answer(cause=str(error)), workers_leave=True))
            raise
        except NodeLeavingError:
            ray.get(channel.leave.remote())
            raise
        if rank == 0:
            ray.get(channel.answer.remote(number, answer))
        resident.rest()
        done = number


def _noticed() -> bool:
    """Whether Ray Train has told this worker that a machine of its group is about to go, as a cloud says of its spot machines.

    Ray's public call for it is a meeting of all workers, which would cost each step a message more.
    """
    return get_train_context().preemption_context.preemption_info is not None


def _answer(resident: Resident, assignment: Assignment) -> Answer:
    """A trial's own failure is an answer, known to every worker alike; any other error ends the group and restarts it."""
    try:
        result = resident.run(assignment) if assignment.trial_id else resident.evaluate_base()
    except OutOfMemoryError as error:
        if workers.world_size() > 1:
            raise
        return Answer(cause=str(error))
    except StoreError as error:
        return Answer(cause=str(error), store_is_away=True)
    except MixwrightError as error:
        return Answer(cause=str(error))
    return Answer(result=result, first_step_at=resident.first_step_at)


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


class Lane(tune.Trainable):
    """Ray Tune's side of a lane. One `step` is one rung of the trial that is on it."""

    def setup(self, config: dict[str, Any], shared: list[Any] | None = None) -> None:
        """`shared` holds the reference of the `Setup` and the driver's `Warden`."""
        assert shared is not None
        self._setup_ref, self._warden = shared
        self._setup: Setup = ray.get(self._setup_ref).here()
        self._start_workers(config[TRIAL_KEY])
        self._begin(config)

    def _start_workers(self, first_trial: str) -> None:
        """A new channel and a new worker group; the thread below lives as long as the group does."""
        self._name = f"lane-{first_trial}"
        channel = ray.remote(num_cpus=0)(Channel).options(scheduling_strategy=on_this_node())
        self._channel: Any = channel.remote(self._setup.config.cluster.max_failures)
        self._thread = threading.Thread(target=self._run_workers, args=(self._channel, self._name), daemon=True)
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
                return self._ended(base)
            assert isinstance(base.result, Evaluation)
            try:
                self._setup.keep_base(base.result)
            except StoreError as error:
                return self._ended(Answer(cause=str(error), store_is_away=True))
            self._evaluate_base = False
        answer = self._ask(Assignment(trial_id=self._trial_key, config=self._trial_config, rung=self._rung))
        if not isinstance(answer.result, RungRecord):
            return self._ended(answer)
        record = to_json(answer.result)
        scheduler = self._trial_config.search.scheduler
        self._rung += 1
        return {
            **record["objectives"],
            SCALAR: self._trial_config.search.objective.scalar(record["objectives"]),
            "rung": record,
            "lane": self._name,
            "losses": answer.losses,
            "first_step_at": answer.first_step_at,
            "halving_time": scheduler.reduction_factor ** (self._rung - 1),
            "done": self._rung == len(scheduler.rungs),
        }

    def _ended(self, answer: Answer) -> dict[str, Any]:
        nothing = dict.fromkeys((*OBJECTIVES, SCALAR), math.nan)
        return {
            **nothing,
            "cause": answer.cause,
            "store_is_away": answer.store_is_away,
            "lane": self._name,
            "losses": answer.losses,
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
        trainer = _LaneTrainer(
            _work,
            # The reference travels inside a list: a bare one would be resolved to the data itself on every hand-over.
            train_loop_config={"channel": channel, "setup": [self._setup_ref], "warden": self._warden},
            torch_config=TorchConfig(backend="nccl" if setup.config.cluster.gpus_each else "gloo"),
            scaling_config=scaling(setup.config.cluster),
            run_config=ray_train.RunConfig(
                name=name,
                storage_path=str((setup.run_dir / "ray" / "lanes").resolve()),
                failure_config=ray_train.FailureConfig(max_failures=-1),  # the channel counts, trial by trial
            ),
        )
        cause = "the lane's workers ended"
        try:
            trainer.fit()
        except Exception as error:  # whatever ended the group must reach the trial that waits for it
            logger.exception("%s: its workers ended", name)
            cause = f"the lane's workers ended: {_last_line(error)}"
        ray.get(channel.close.remote(cause))


class _LaneTrainer(TorchTrainer):
    """A TorchTrainer whose placement group the warden watches.

    Ray Train's own watcher is a detached actor. Without a dashboard it cannot see that a controller has died, and neither it nor
    the placement group would go before the cluster does.
    """

    def _create_default_callbacks(self) -> list[Any]:
        callbacks: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]
        return [callback for callback in callbacks if type(callback).__name__ != "PlacementGroupCleanerCallback"]


def on_this_node() -> NodeAffinitySchedulingStrategy:
    """Where the caller runs, for an actor that is to live as long. Ray puts one that asks for nothing anywhere, spot nodes too."""
    return NodeAffinitySchedulingStrategy(node_id=ray.get_runtime_context().get_node_id(), soft=False)


def scaling(cluster: ClusterConfig) -> ray_train.ScalingConfig:
    """One trial's worker group."""
    resources: dict[str, float] = {"CPU": cluster.cpus_per_worker}
    if cluster.gpus_each:
        resources["GPU"] = cluster.gpus_each
    return ray_train.ScalingConfig(
        num_workers=cluster.worker_count, use_gpu=cluster.gpus_each > 0, resources_per_worker=resources, placement_strategy="PACK"
    )
