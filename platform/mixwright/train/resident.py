"""What stays on one worker between trials: the frozen base, the tokenizer, the data and its token ids.

What comes in: a `Setup` once, then one `Assignment` after another. What goes out: a `RungRecord` for each. Switching
trials swaps the adapter and the optimiser on the resident base; imports, weights and worker group stay.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from mixwright import models
from mixwright.config import SweepConfig
from mixwright.data.prepare import PreparedData
from mixwright.data.tokens import RowName, TokenTable, token_table
from mixwright.errors import TrainError
from mixwright.mixture import Mixture, RankedPools
from mixwright.records import Objectives, RungRecord, write_text
from mixwright.scenarios import Scenario
from mixwright.train import batches, checkpoint, loop, workers, zero

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the injected evaluator says of a model on dev."""

    objectives: Objectives
    task_scores: dict[str, float]
    standard_errors: Objectives | None = None
    """As in `RungRecord`."""


class Evaluator(Protocol):
    """Scores a live model. All workers call it together; all get the same answer."""

    def __call__(self, model: Any, config: SweepConfig) -> Evaluation:
        """The configuration is the trial's, which says how it answers; what is asked is the same for all."""
        ...


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What every trial of a lane shares."""

    config: SweepConfig
    scenario: Scenario
    data: PreparedData
    """With its `tokens`, which workers read where they lie: Ray's object store hands Arrow's buffers out without a copy."""
    precision: zero.Precision
    run_dir: Path
    make_evaluator: Callable[[Setup, models.LoadedModel], Evaluator]
    """Called once a worker, after the base model is loaded. Training does not know how scores are made."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One stretch of one trial: train up to a rung and evaluate there; or, with an empty id, evaluate the base model."""

    trial_id: str
    config: SweepConfig
    rung: int
    """Index into the scheduler's rungs."""


class Resident:
    """One worker's warm state."""

    def __init__(self, setup: Setup, device: str) -> None:
        import torch

        self.setup = setup
        self.device = device
        dtype = torch.bfloat16 if setup.precision == "bf16" else torch.float32
        self.base = models.load_base(setup.config.model, dtype)
        self.base.model.to(device)
        self.model: Any = self.base.model
        self.evaluate = setup.make_evaluator(setup, self.base)
        self.trial: loop.Trial | None = None
        self._holds_saved_adapter = False

    def evaluate_base(self) -> Evaluation:
        """The dev evaluation of the model as it is."""
        self._leave_trial()
        return self.evaluate(self.model, self.setup.config)

    def run(self, assignment: Assignment) -> RungRecord:
        """Trains the assigned trial up to its rung and evaluates it there; a rung that is on disk already is handed back.

        Raises:
            TrainError: the trial cannot go on. The worker itself stays fit for the next assignment.
        """
        folder = trial_folder(self.setup.run_dir, assignment.trial_id)
        saved = self._progress(assignment.trial_id, folder)
        if saved and len(saved.rungs) > assignment.rung:
            return saved.rungs[assignment.rung]
        if assignment.config.model.tuning == "none":
            return self._ask_saved_adapter(assignment.config)
        try:
            trial = self._enter_trial(assignment, folder, saved)
            while len(trial.progress.rungs) <= assignment.rung:  # more than one where a damaged checkpoint was passed over
                record = self._reach_rung(trial, len(trial.progress.rungs))
            return record
        except TrainError:
            self._leave_trial()
            raise

    def _progress(self, trial_id: str, folder: Path) -> checkpoint.TrialProgress | None:
        """Where the trial stands: as it is on these workers, else by its newest whole checkpoint."""
        if self.trial and self.trial.progress.trial_id == trial_id:
            return self.trial.progress
        return checkpoint.read_progress(folder / "checkpoint")

    def _ask_saved_adapter(self, config: SweepConfig) -> RungRecord:
        """The one rung of a trial that trains nothing; the adapter stays on the base for the trials to come."""
        started = time.perf_counter()
        if not self._holds_saved_adapter:
            folder = models.saved_adapter(config.model)
            self.model = models.with_saved_adapter(self.model, folder, name=ADAPTER).to(self.device)
            self._holds_saved_adapter = True
        evaluation = self.evaluate(self.model, config)
        return RungRecord(
            step=0,
            examples=0,
            tokens=0,
            train_loss=None,
            objectives=evaluation.objectives,
            task_scores=evaluation.task_scores,
            seconds=time.perf_counter() - started,
            standard_errors=evaluation.standard_errors,
        )

    def _reach_rung(self, trial: loop.Trial, rung: int) -> RungRecord:
        fractions = trial.config.search.scheduler.rungs
        train_loss = loop.train_until(trial, max(1, math.ceil(fractions[rung] * trial.total_steps)))
        started = time.perf_counter()
        evaluation = self.evaluate(trial.model, trial.config)
        progress = replace(trial.progress, seconds=trial.progress.seconds + time.perf_counter() - started)
        record = RungRecord(
            step=progress.step,
            examples=progress.examples,
            tokens=progress.tokens,
            train_loss=train_loss,
            objectives=evaluation.objectives,
            task_scores=evaluation.task_scores,
            seconds=progress.seconds,
            standard_errors=evaluation.standard_errors,
        )
        progress = replace(progress, rungs=(*progress.rungs, record), tag=f"rung-{rung}-step-{progress.step}")
        if rung == len(fractions) - 1:
            gathered = loop.whole_parameters(trial.engine, trial.model, trial.config.train.zero_stage)
            checkpoint.export(trial.model, self.base.tokenizer, trial.folder / "adapter", gathered)
        checkpoint.save_checkpoint(trial.engine, trial.folder / "checkpoint", progress)
        trial.progress = progress
        return record

    def _enter_trial(self, assignment: Assignment, folder: Path, saved: checkpoint.TrialProgress | None) -> loop.Trial:
        if self.trial and self.trial.progress.trial_id == assignment.trial_id:
            return self.trial
        started = time.perf_counter()
        self._leave_trial()
        config = assignment.config
        mixture = self.mixture(config)
        self.model = self._fresh_model(config)
        rows = tuple(map(self.tokens.rendered, mixture.rows))
        global_batch = config.train.micro_batch_size * config.train.gradient_accumulation * workers.world_size()
        total_steps = batches.steps_in(len(rows), global_batch)
        engine = loop.build_engine(self.model, config, self.setup.precision, total_steps, ADAPTER)
        _seed_worker(config.trial_seed)
        progress = checkpoint.TrialProgress(
            trial_id=assignment.trial_id, world_size=workers.world_size(), step=0, examples=0, tokens=0, seconds=0.0
        )
        if saved:
            checkpoint.load_checkpoint(engine, folder / "checkpoint", saved)
            progress = saved

        def prepare_folder() -> None:
            folder.mkdir(parents=True, exist_ok=True)
            loop.keep_steps_before(folder / "metrics.jsonl", progress.step)
            write_text(folder / "mixture.json", json.dumps({"counts": mixture.counts, "distinct": mixture.distinct}))

        checkpoint.on_first_worker(prepare_folder, folder)
        self.trial = loop.Trial(
            config=config,
            folder=folder,
            model=self.model,
            engine=engine,
            rows=rows,
            progress=progress,
            device=self.device,
        )
        logger.info(
            "%s entered the warm workers in %.2f s at step %d", assignment.trial_id, time.perf_counter() - started, progress.step
        )
        return self.trial

    def _fresh_model(self, config: SweepConfig) -> Any:
        if config.model.tuning == "full":
            self.base.model.requires_grad_(True)
            return self.base.model.train()
        return models.with_adapter(self.model, config.lora, name=ADAPTER, seed=config.trial_seed).to(self.device)

    def _leave_trial(self) -> None:
        """Takes the trial's engine and adapter off the base."""
        if self._holds_saved_adapter:
            self.model.delete_adapter(ADAPTER)
            self._holds_saved_adapter = False
        if self.trial is None:
            return
        if self.trial.config.model.tuning == "full":
            raise TrainError("a fully tuned model cannot go back to its base; its lane serves one trial")
        self.trial.engine.destroy()
        self.model.delete_adapter(ADAPTER)
        self.trial = None

    def mixture(self, config: SweepConfig) -> Mixture[RowName]:
        """The trial's rows."""
        return self.pools.mixture(config.mixture, self.setup.scenario.seen, seed=config.search.seed, order_seed=config.trial_seed)

    @functools.cached_property
    def pools(self) -> RankedPools[RowName]:
        """The rows that can be learned, each pool ranked once for all trials."""
        return RankedPools(self.tokens.names(), self.tokens.token_count)

    @functools.cached_property
    def tokens(self) -> TokenTable:
        """The token ids of all training rows; made here only where nobody has made them for all workers."""
        setup = self.setup
        return setup.data.tokens or token_table(
            setup.data.train, self.base.tokenizer, setup.scenario, setup.config.model, seed=setup.config.search.seed
        )


ADAPTER = "trial"


def trial_folder(run_dir: Path, trial_id: str) -> Path:
    return run_dir / "trials" / trial_id


def drop_checkpoint(run_dir: Path, trial_id: str) -> None:
    """Frees the tensors of a trial that has its TrialRecord; metrics and adapter stay."""
    shutil.rmtree(trial_folder(run_dir, trial_id) / "checkpoint", ignore_errors=True)


def _seed_worker(seed: int) -> None:
    """Dropout's draws: another stream on each worker, the same in every trial of a seed."""
    import torch

    digest = hashlib.blake2b(f"dropout|{seed}|{workers.rank()}".encode(), digest_size=8).digest()
    torch.manual_seed(int.from_bytes(digest, "big") >> 1)
