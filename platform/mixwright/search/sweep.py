"""The search: from a configuration and prepared data to ended trials, on Ray Tune.

What comes in: a `SweepConfig`, `PreparedData` and an open run folder. What goes out: the trials' records and the base
model's dev evaluation; on the way trials.jsonl grows by a line a trial. Called again on the same folder, it goes on where
the last call was cut off.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import ConcurrencyLimiter, Searcher
from ray.util import placement_group_table

from mixwright.config import ClusterConfig, SweepConfig
from mixwright.data.prepare import PreparedData
from mixwright.errors import RunError, StoreError
from mixwright.models import LoadedModel
from mixwright.records import RungRecord, TrialRecord, from_json, patiently, to_json
from mixwright.scenarios import Scenario
from mixwright.search import schedulers
from mixwright.search.board import Board
from mixwright.search.elastic import ElasticLanes
from mixwright.search.evaluator import DevEvaluator
from mixwright.search.interruption import interruptible
from mixwright.search.limits import Limits, limits_of
from mixwright.search.metrics import SweepMetrics
from mixwright.search.objective import nothing_finished, told_objectives
from mixwright.search.progress import Stage, StepsTaken
from mixwright.search.resources import check_resources, lane_count, settled_here
from mixwright.search.searcher import BaseValues, StudyWriter, TrialSearch, suggested, take_up
from mixwright.search.space import distributions
from mixwright.search.study import StudyFile
from mixwright.search.tracking import Trackers, trackers
from mixwright.store import remote
from mixwright.store.runs import RunFolder
from mixwright.store.studies import study_place
from mixwright.train import batches
from mixwright.train.choices import Choices, choose, rough_tokens
from mixwright.train.hardware import share_of_machine
from mixwright.train.lane import TRIAL_KEY, Lane, Warden, on_this_node
from mixwright.train.reporter import BASE_FILE, MIXTURE_FILE, learned_rows, rung_line, trial_folder
from mixwright.train.resident import Evaluation, Evaluator, Setup, drop_checkpoint

logger = logging.getLogger(__name__)

DRIVER_RESOURCES = {"memory": 1.0}
"""Of a lane's Tune side, which only waits. Tune does not take an empty set, and the smallest share of a CPU would leave the
last worker of a full cluster without its whole one. `cluster.driver_resource` adds to it."""


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What the search found."""

    trials: tuple[TrialRecord, ...]
    base: Evaluation
    choices: Choices
    """What was settled at the start, for whatever else is trained."""
    seconds: float
    confirmations: tuple[TrialRecord, ...] = ()
    """Candidates trained again with fresh seeds; no part of `trials`."""


def search(
    config: SweepConfig,
    scenario: Scenario,
    data: PreparedData,
    run: RunFolder,
    make_evaluator: Callable[[Setup, LoadedModel], Evaluator] = DevEvaluator,
) -> SearchResult:
    """Runs the trials that the folder does not hold yet. Ray must be initialised.

    Args:
        make_evaluator: called on each worker; what it makes scores a model at each rung.

    Raises:
        HardwareError: the cluster does not hold one trial's workers.
        RunError: the study is of another sweep, its database has been away for too long, or not all trials have ended.
        Interrupted: a signal asked the search to end.
    """
    check_resources(config)
    config = settled_here(config)
    names = told_objectives(config.search.objective, scenario)
    ended = run.trials()
    place = study_place(run.path, config.name, config.search.storage, config.search.storage_patience_s)
    study = StudyFile(place, names, distributions(config))
    queued = take_up(study, ended, names, config, base_values(run.path))
    _drop_strays(run.path, suggested(study) | {record.trial_id for record in ended})
    if ended:  # one that was killed between a trial's record and the end of its checkpoint has left that
        drop_checkpoint(run.path, ended[-1].trial_id)
    if ended or queued:
        logger.info("going on: %d trials have ended, %d go on from their checkpoints", len(ended), len(queued))
    remaining = config.search.trials - len(ended)
    choices = measured_choices(config, data)
    logger.info("%s", choices.line)
    seconds = 0.0
    if remaining > 0:
        setup = Setup.settled(
            config, choices, scenario=scenario, data=data.for_workers(), run_dir=run.path, make_evaluator=make_evaluator
        )
        board = Board(ended, config.search.trials)
        stage = _stage(config, run, ended, board)
        with stage:
            _tune(config, setup, run, names, ended, study, board, limits_of(setup.config, setup.precision))
        seconds = stage.seconds
    study.close()
    if len(ended) < config.search.trials:
        raise RunError(f"{run.path}: the search ended after {len(ended)} of {config.search.trials} trials; go on with --resume")
    trials = sorted(ended, key=lambda record: record.number)
    return SearchResult(trials=tuple(trials), base=read_base(run, trials), choices=choices, seconds=seconds)


def _drop_strays(run_dir: Path, known: set[str]) -> None:
    """Removes what a trial left that was suggested in the moment before a kill: the next to get its id is another one."""
    for folder in (run_dir / "trials").glob("trial_*"):
        if folder.name not in known:
            shutil.rmtree(folder)
    if there := remote.mirror_of(run_dir):
        for name in there.names(run_dir / "trials"):
            if name.startswith("trial_") and name not in known:
                for part in ("checkpoint", "adapter"):
                    there.remove(run_dir / "trials" / name / part)


def _stage(config: SweepConfig, run: RunFolder, ended: list[TrialRecord], board: Board) -> Stage:
    name = f"searching ({config.search.trials} trials)"
    if config.model.tuning == "none":
        return Stage(name, done=lambda: len(ended), total=lambda: config.search.trials, unit="trial", board=board)
    taken = StepsTaken(run.path, ended)
    return Stage(
        name,
        done=lambda: sum(taken.by_trial().values()),
        total=lambda: expected_steps(config, ended, taken.by_trial()),
        unit="training step",
        board=board,
    )


def _tune(
    config: SweepConfig,
    setup: Setup,
    run: RunFolder,
    names: tuple[str, ...],
    ended: list[TrialRecord],
    study: StudyFile,
    board: Board,
    limits: Limits | None,
) -> None:
    with lanes(setup) as opened:
        run_trials(config, run, names, opened.trainable, ended, study, board, limits, opened.placed)


PROMPTLY_S = 0.5
"""How long Tune's loop may be held up for a number."""


@dataclass(frozen=True)
class Lanes:
    """What Tune makes lanes of, and who knows of those that there are."""

    trainable: Any
    warden: Any

    def placed(self) -> int:
        """Lanes that have their workers; 0 where nobody says so at once, as while the cluster starts the warden."""
        try:
            groups: set[str] = ray.get(self.warden.groups.remote(), timeout=PROMPTLY_S)
        except ray.exceptions.GetTimeoutError:
            return 0
        table = placement_group_table()
        return sum(table.get(group, {}).get("state") == "CREATED" for group in groups)


@contextmanager
def lanes(setup: Setup) -> Iterator[Lanes]:
    """A setup's lanes; at the end of the block nothing of them is left."""
    # The reference travels inside a list: a bare one would be resolved to the data itself on every hand-over.
    warden: Any = ray.remote(num_cpus=0)(Warden).options(scheduling_strategy=on_this_node()).remote()
    try:
        yield Lanes(tune.with_parameters(Lane, shared=[ray.put(setup), warden]), warden)
    finally:
        ray.get(warden.close.remote())
        ray.kill(warden)


def run_trials(
    config: SweepConfig,
    run: RunFolder,
    names: tuple[str, ...],
    lane: Any,
    ended: list[TrialRecord],
    study: StudyFile,
    board: Board,
    limits: Limits | None = None,
    placed: Callable[[], int] | None = None,
) -> None:
    """Runs the trials that are left on lanes, side by side; each one's record is written, and added to `ended`, when it ends.

    Args:
        lane: a Trainable that answers as `Lane` does.
        limits: what a configuration must keep to be trained.
        placed: as in `tuner`.

    Raises:
        Interrupted: a signal asked the search to end.
        RunError: the study's database has been away for too long.
    """
    evaluate_base = not (run.path / BASE_FILE).exists()
    searcher = TrialSearch(
        config,
        names,
        study,
        evaluate_base=evaluate_base,
        writes_later=True,
        limits=limits,
        base=lambda: base_values(run.path),
    )
    scheduler = schedulers.make(config, ended)
    remaining = config.search.trials - len(ended)
    told = trackers(config.tracking, config.name, run.path)
    with interruptible() as interruption:
        recorder = TrialRecorder(run, config, ended, told, board)
        figures = SweepMetrics(config.name, run.path, ended, config.search.trials)
        callbacks = [recorder, figures, StudyWriter(searcher), interruption]
        try:
            tuner("tune", config, run.path, lane, searcher, scheduler, remaining, callbacks, placed).fit()
        except BaseException:
            study.write(force=True)
            raise
        finally:
            told.close()
        study.finish()


def tuner(
    name: str,
    config: SweepConfig,
    run_dir: Path,
    lane: Any,
    searcher: Searcher,
    scheduler: TrialScheduler,
    trials: int,
    callbacks: list[tune.Callback],
    placed: Callable[[], int] | None = None,
) -> tune.Tuner:
    """Ray Tune over warm lanes.

    Args:
        name: of its folder under `ray` in the run folder.
        placed: how many lanes have their workers; None: nobody knows, and their number stays.
    """
    limit = ConcurrencyLimiter(searcher, lane_count(config))
    if config.cluster.elastic is True and placed:
        callbacks = [*callbacks, ElasticLanes(limit, config.cluster, trials, placed)]
    return tune.Tuner(
        tune.with_resources(lane, driver_resources(config.cluster)),
        tune_config=tune.TuneConfig(
            search_alg=limit,
            scheduler=scheduler,
            num_samples=trials,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str((run_dir / "ray").resolve()),
            callbacks=callbacks,
            # A lane whose process dies is started again; what is wrong with a trial itself comes back as a result.
            failure_config=tune.FailureConfig(max_failures=config.cluster.max_failures),
            verbose=0,
        ),
    )


def driver_resources(cluster: ClusterConfig) -> dict[str, float]:
    """Of a lane's Tune side: with `driver_resource` it lives on a node that stays, and its actors with it."""
    return DRIVER_RESOURCES | ({cluster.driver_resource: 1.0} if cluster.driver_resource else {})


def _trial_name(trial: Any) -> str:
    return str(trial.config.get(TRIAL_KEY, trial.trial_id))


def measured_choices(config: SweepConfig, data: PreparedData) -> Choices:
    """Measured where training will run, with a worker's own share of the machine, once for all lanes and trials."""
    cluster = config.cluster
    tokens = rough_tokens(config, data) * config.search.trials * expected_share(config) / lane_count(config) / cluster.worker_count
    task = ray.remote(num_cpus=cluster.cpus_per_worker, num_gpus=cluster.gpus_each)(_choose_as_worker)
    choices: Choices = ray.get(task.remote(config, tokens))
    return choices


def _choose_as_worker(config: SweepConfig, tokens: float) -> Choices:
    device = "cuda" if config.cluster.gpus_each else "cpu"
    return choose(config, device, tokens=tokens, share=share_of_machine(config.cluster.cpus_per_worker))


def expected_steps(config: SweepConfig, ended: list[TrialRecord], steps: Mapping[str, int]) -> float:
    """Training steps of the whole sweep, for the time left.

    What has ended counts as it is, a trial past its first rung in full, and the rest as halving would have it. Exact where the
    budget is examples; otherwise the size of the first complete trial corrects it.

    Args:
        steps: by trial id, what each has taken so far, ended ones included.
    """
    train, settings = config.train, config.search.scheduler
    global_batch = train.micro_batch_size * train.gradient_accumulation * config.cluster.worker_count
    complete = [record.rungs[-1].step for record in ended if record.status == "complete"]
    full = max(complete, default=batches.steps_in(config.mixture.size * config.mixture.epochs, global_batch))
    average = expected_share(config) * full
    taken = sum(record.rungs[-1].step for record in ended if record.rungs)
    over = {record.trial_id for record in ended}
    running = [count for trial, count in steps.items() if trial not in over]
    beyond = sum(full if count > math.ceil(settings.rungs[0] * full) else average for count in running)
    return taken + beyond + max(0, config.search.trials - len(ended) - len(running)) * average


def expected_share(config: SweepConfig) -> float:
    """Share of the whole budget that a trial takes on average when each rung lets one in `reduction_factor` go on."""
    settings = config.search.scheduler
    if settings.kind == "none":
        return 1.0
    ends = [0.0, *settings.rungs]
    return sum((ends[i + 1] - ends[i]) * settings.share_that_goes_on**i for i in range(len(settings.rungs)))


def base_values(run_dir: Path) -> BaseValues | None:
    """What the base model gave on dev; None while that is not known."""
    path = run_dir / BASE_FILE
    if not path.exists():
        remote.fetch(path)  # a lane on another node may have written it
    text = patiently(lambda: _text(path), path)
    if text is None:
        return None
    base = from_json(Evaluation, json.loads(text))
    return BaseValues(objectives=to_json(base.objectives), loss=base.generic_loss)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def read_base(run: RunFolder, trials: Sequence[TrialRecord]) -> Evaluation:
    """What the base model gave on dev.

    Raises:
        RunError: no lane came as far, with the causes of `trials`.
    """
    if not (run.path / BASE_FILE).exists():
        remote.fetch(run.path / BASE_FILE)
    try:
        return from_json(Evaluation, json.loads((run.path / BASE_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise nothing_finished(trials) from None


class TrialRecorder(tune.Callback):
    """Writes a TrialRecord when a trial ends, whatever way it does."""

    def __init__(self, run: RunFolder, config: SweepConfig, ended: list[TrialRecord], trackers: Trackers, board: Board) -> None:
        self._run = run
        self._trackers, self._board = trackers, board
        self._config = config
        self._ended = ended
        self._rungs_by_step: dict[str, dict[int, RungRecord]] = {}
        """Trial id -> step -> rung; a trial that starts again tells the rungs that it has once more."""
        self._causes: dict[str, str] = {}
        self._decisions: dict[str, tuple[str, float]] = {}
        """Lane -> the trial whose result came last, and when the scheduler had decided on it."""
        self._switch_seconds: dict[str, float] = {}
        self._unwritten: RunError | None = None
        """Why a trial's end could not be written down."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as in `TrialSearch`."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._board.started(trial.config[TRIAL_KEY], _searched(trial.config))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        key = trial.config[TRIAL_KEY]
        self._note_switch(key, result)
        if result.get("store_is_away"):
            self._unwritten = StoreError(result["cause"])
        if cause := result.get("cause"):
            self._causes[key] = cause
            return
        rung = from_json(RungRecord, result["rung"])
        self._rungs_by_step.setdefault(key, {})[rung.step] = rung
        self._trackers.rung(key, rung)
        self._board.rung(key, _searched(trial.config), rung)
        logger.info("%s  (%s)", rung_line(key, rung), describe(_searched(trial.config)))

    def _note_switch(self, key: str, result: dict[str, Any]) -> None:
        """Tune calls when the scheduler has decided. The clocks of two machines are taken to agree."""
        last, decided_at = self._decisions.get(result["lane"], (key, 0.0))
        if last != key and (first_step_at := result.get("first_step_at")):
            self._switch_seconds[key] = first_step_at - decided_at
            logger.info("%s took its first step %.3f s after the decision on %s", key, self._switch_seconds[key], last)
        self._decisions[result["lane"]] = key, time.time()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._record(trial, cause=self._causes.pop(trial.config[TRIAL_KEY], ""))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._record(trial, cause="the lane's process died again and again; see error.txt under ray/tune in the run folder")

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Ends a search that cannot be written down. Not where that is found: there Tune would take it for the trial's failure."""
        if self._unwritten:
            raise self._unwritten

    def _record(self, trial: Any, cause: str) -> None:
        if self._unwritten:  # a trial that a store which is away has cut off goes on with --resume
            return
        try:
            record = self._record_of(trial, cause)
            self._run.append_trial(record)
            drop_checkpoint(self._run.path, record.trial_id)
        except RunError as error:
            self._unwritten = error
            return
        self._ended.append(record)
        _forget_statistics(trial)
        self._trackers.ended(record)
        self._board.over(record.trial_id)
        logger.info("%s %s%s", record.trial_id, record.status, f": {record.cause}" if record.cause else "")

    def _record_of(self, trial: Any, cause: str) -> TrialRecord:
        key = trial.config[TRIAL_KEY]
        rungs = tuple(self._rungs_by_step.pop(key, {}).values())
        finite = (
            all(math.isfinite(value) for value in to_json(rungs[-1].objectives).values() if value is not None) if rungs else False
        )
        if not cause and not finite:
            cause = "an objective is not a number"
        folder = trial_folder(self._run.path, key)
        remote.fetch(folder / MIXTURE_FILE)
        complete = not cause and len(rungs) == len(self._config.search.scheduler.rungs)
        params = _searched(trial.config)
        searched_evaluation = any(name.startswith("evaluation.") for name in params)
        evaluation = self._config.with_values(params).evaluation if searched_evaluation else self._config.evaluation
        return TrialRecord(
            trial_id=key,
            number=int(key.rsplit("_", 1)[1]),
            status="failed" if cause else "complete" if complete else "stopped",
            params=params,
            rungs=rungs,
            **patiently(lambda: learned_rows(folder), folder),
            cause=cause,
            adapter=self._adapter(folder) if complete else "",
            decoding=evaluation.decoding.record(evaluation.max_new_tokens),
            switch_seconds=self._switch_seconds.pop(key, None),
        )

    def _adapter(self, folder: Path) -> str:
        return self._config.model.adapter or str((folder / "adapter").relative_to(self._run.path))


def _forget_statistics(trial: Any) -> None:
    """Of every number that a trial reports Tune keeps mean, extremes and last values: 80 KiB a trial that nobody here reads."""
    kept = getattr(trial, "run_metadata", None)
    for name in ("metric_analysis", "metric_n_steps"):
        getattr(kept, name, {}).clear()


def _searched(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if "." in key}


def describe(params: dict[str, Any]) -> str:
    """The searched values on one line: generic_fraction 0.31, rank 16."""
    shown = (
        f"{key.split('.')[-1]} {value:.3g}" if isinstance(value, float) else f"{key.split('.')[-1]} {value}"
        for key, value in params.items()
    )
    return ", ".join(shown) or "no searched keys"
