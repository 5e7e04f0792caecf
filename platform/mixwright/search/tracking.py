"""Trials told to what a team watches: TensorBoard by default, MLflow and Weights & Biases where they are named.

What comes in: rungs and ends of trials, on the driver. What goes out: one run of the tracker's a trial, with what was searched,
objectives and task scores by step, and how it ended. `trials.jsonl` is the truth and a tracker a copy: one that fails is left
alone after one warning, and the sweep goes on.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from mixwright.config import TrackingConfig
from mixwright.errors import ConfigError
from mixwright.records import RungRecord, TrialRecord, to_json

logger = logging.getLogger(__name__)

TENSORBOARD_FOLDER = "tensorboard"


class Tracker(Protocol):
    """Hears of trials; each method may raise whatever its library raises."""

    name: str

    def rung(self, trial_id: str, rung: RungRecord) -> None:
        """Takes a rung of a trial."""
        ...

    def ended(self, record: TrialRecord) -> None:
        """Takes a trial's end; its rungs have been told, unless it ended in an earlier call."""
        ...

    def close(self) -> None:
        """Writes what is held back."""
        ...


class TensorBoardTracker:
    """Event files under the run folder, one folder a trial; `tensorboard --logdir RUN/tensorboard` shows them."""

    name = "TensorBoard"

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / TENSORBOARD_FOLDER
        self._writers: dict[str, Any] = {}

    def rung(self, trial_id: str, rung: RungRecord) -> None:
        writer = self._writer(trial_id)
        for key, value in scalars(rung).items():
            writer.add_scalar(key, value, rung.step)

    def ended(self, record: TrialRecord) -> None:
        from tensorboardX.summary import hparams

        writer = self._writer(record.trial_id)
        # As `add_hparams` does, but in the trial's own file: that would open another one of the same name in the same second.
        for summary in hparams(hyperparameters(record), final_scalars(record)):
            writer.file_writer.add_summary(summary)
        for key, value in final_scalars(record).items():
            writer.add_scalar(key, value, _last_step(record))
        writer.close()
        del self._writers[record.trial_id]  # a writer is a thread and an open file

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def _writer(self, trial_id: str) -> Any:
        if trial_id not in self._writers:
            from tensorboardX import SummaryWriter

            self._writers[trial_id] = SummaryWriter(str(self._folder / trial_id))
        return self._writers[trial_id]


class MlflowTracker:
    """A run a trial in the experiment that is named after the sweep."""

    name = "MLflow"

    def __init__(self, uri: str, experiment: str) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        found = self._client.get_experiment_by_name(experiment)
        self._experiment: str = found.experiment_id if found else self._client.create_experiment(experiment)
        self._runs: dict[str, str] = {}

    def rung(self, trial_id: str, rung: RungRecord) -> None:
        for key, value in scalars(rung).items():
            self._client.log_metric(self._run(trial_id), key, value, step=rung.step)

    def ended(self, record: TrialRecord) -> None:
        run = self._run(record.trial_id)
        for key, value in hyperparameters(record).items():
            self._client.log_param(run, key, value)
        self._client.set_tag(run, "cause", record.cause)
        self._client.set_tag(run, "status", record.status)
        self._client.set_terminated(run, status="FAILED" if record.status == "failed" else "FINISHED")
        del self._runs[record.trial_id]

    def close(self) -> None:
        """Nothing is held back."""

    def _run(self, trial_id: str) -> str:
        if trial_id not in self._runs:
            self._runs[trial_id] = self._client.create_run(self._experiment, run_name=trial_id).info.run_id
        return self._runs[trial_id]


class WandbTracker:
    """A run a trial, grouped by sweep, all in one project; offline where WANDB_MODE says so."""

    name = "W&B"

    def __init__(self, project: str, sweep: str, run_dir: Path) -> None:
        import wandb

        self._wandb, self._project, self._sweep, self._folder = wandb, project, sweep, run_dir
        self._rungs: dict[str, list[RungRecord]] = {}

    def rung(self, trial_id: str, rung: RungRecord) -> None:
        self._rungs.setdefault(trial_id, []).append(rung)

    def ended(self, record: TrialRecord) -> None:
        """One run at a time is how the library works, and trials run side by side: each is sent when it has ended."""
        settings = self._wandb.Settings(silent=True, console="off")
        run = self._wandb.init(
            project=self._project, group=self._sweep, name=record.trial_id, dir=str(self._folder), config=hyperparameters(record),
            settings=settings, reinit="create_new",
        )  # fmt: skip
        for rung in self._rungs.pop(record.trial_id, []):
            run.log(scalars(rung), step=rung.step)
        run.summary.update({"status": record.status, "cause": record.cause})
        run.finish(exit_code=int(record.status == "failed"))

    def close(self) -> None:
        """Nothing is held back but trials that have not ended."""


def trackers(config: TrackingConfig, sweep: str, run_dir: Path) -> Trackers:
    """The trackers that a configuration names; one that cannot start is left out with a warning.

    Raises:
        ConfigError: a tracker is named whose package is not installed.
    """
    makers: list[tuple[str, Callable[[], Tracker]]] = []
    if config.tensorboard:
        makers.append((TensorBoardTracker.name, lambda: TensorBoardTracker(run_dir)))
    if config.mlflow:
        uri = os.path.expandvars(config.mlflow)
        makers.append((MlflowTracker.name, lambda: MlflowTracker(uri, sweep)))
    if config.wandb:
        project = config.wandb
        makers.append((WandbTracker.name, lambda: WandbTracker(project, sweep, run_dir)))
    started = []
    for name, make in makers:
        try:
            started.append(make())
        except ImportError as error:
            raise ConfigError(
                f"tracking: {name} needs {error.name}; pip install 'mixwright[mlflow,wandb]', or leave it out"
            ) from error
        except Exception as error:  # a copy of the results is not worth a sweep, whatever its library says
            _warn(name, error)
    return Trackers(started)


class Trackers:
    """All of a sweep's; one that raises is told nothing more."""

    def __init__(self, trackers: Sequence[Tracker] = ()) -> None:
        self._trackers = list(trackers)

    def rung(self, trial_id: str, rung: RungRecord) -> None:
        self._tell(lambda tracker: tracker.rung(trial_id, rung))

    def ended(self, record: TrialRecord) -> None:
        self._tell(lambda tracker: tracker.ended(record))

    def close(self) -> None:
        self._tell(lambda tracker: tracker.close())

    def _tell(self, call: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                call(tracker)
            except Exception as error:  # as above
                _warn(tracker.name, error)
                self._trackers.remove(tracker)


def _warn(name: str, error: Exception) -> None:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    logger.warning("%s failed and is told nothing more, the sweep goes on: %s", name, lines[0])


def scalars(rung: RungRecord) -> dict[str, float]:
    """A rung's numbers by name."""
    values = {**to_json(rung.objectives), "train_loss": rung.train_loss}
    values |= {f"task/{task}": score for task, score in rung.task_scores.items()}
    return {name: float(value) for name, value in values.items() if value is not None}


def final_scalars(record: TrialRecord) -> dict[str, float]:
    """Objectives at the end of a whole budget; none of a trial that was stopped or failed."""
    if record.status != "complete":
        return {}
    return {f"final/{name}": value for name, value in to_json(record.rungs[-1].objectives).items() if value is not None}


def hyperparameters(record: TrialRecord) -> dict[str, Any]:
    """What was searched, and how the trial ended."""
    plain = {key: value if isinstance(value, bool | int | float | str) else str(value) for key, value in record.params.items()}
    return {**plain, "status": record.status}


def _last_step(record: TrialRecord) -> int:
    return record.rungs[-1].step if record.rungs else 0
