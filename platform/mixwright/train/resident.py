"""What stays on one worker between trials: the frozen base, the tokenizer, the data and its token ids.

What comes in: a `Setup` once, then one `Assignment` after another. What goes out: a `RungRecord` for each. Switching
trials swaps the adapter and the optimiser on the resident base; imports, weights and worker group stay.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import json
import logging
import math
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from mixwright import models, records
from mixwright.config import ModelConfig, SweepConfig
from mixwright.data.prepare import PreparedData
from mixwright.data.tokens import RowName, TokenTable, token_table
from mixwright.errors import MixwrightError, OutOfMemoryError, TrainError
from mixwright.mixture import Mixture, RankedPools
from mixwright.records import Objectives, RungRecord, to_json, write_text
from mixwright.scenarios import Scenario
from mixwright.store import remote
from mixwright.train import batches, checkpoint, hardware, loop, workers, zero
from mixwright.train.base_weights import BaseWeights
from mixwright.train.checkpoint import patiently
from mixwright.train.choices import Choices
from mixwright.train.compiling import uncompiled
from mixwright.train.flops import model_flops
from mixwright.train.reporter import (
    BASE_FILE,
    METRICS_FILE,
    MIXTURE_FILE,
    ROWS_FILE,
    FolderReporter,
    Meter,
    Reporter,
    trial_folder,
)
from mixwright.train.swap_folder import drop_optimizer_files

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the injected evaluator says of a model on dev."""

    objectives: Objectives
    task_scores: dict[str, float]
    standard_errors: Objectives | None = None
    """As in `RungRecord`."""
    generic_loss: float | None = None
    """NLL on held-out generic rows, nats a token, which retention is counted from."""
    row_influences: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """By trained task, what each row adds to the score; rows in the same order for all trials."""


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
    peak_flops: float | None = None
    """Measured rate of one worker's matrix products, for the utilisation of each step; None: not measured."""
    address: str = ""
    """Of a run on object storage, of which every node has a working folder of its own; empty where all see `run_dir`."""

    def here(self) -> Setup:
        """The same on this node."""
        return replace(self, run_dir=remote.mirror(self.address).local) if self.address else self

    def keep_base(self, base: Evaluation) -> None:
        """Writes the base model's dev evaluation into the run folder.

        Raises:
            StoreError: the run is on object storage that does not answer.
        """
        path, text = self.run_dir / BASE_FILE, json.dumps(to_json(base), indent=2)
        records.patiently(lambda: write_text(path, text), path)
        remote.publish(self.run_dir / BASE_FILE)

    @classmethod
    def settled(
        cls,
        config: SweepConfig,
        choices: Choices,
        *,
        scenario: Scenario,
        data: PreparedData,
        run_dir: Path,
        make_evaluator: Callable[[Setup, models.LoadedModel], Evaluator],
    ) -> Setup:
        """With what was chosen at the run's start in place of every `auto`."""
        return cls(
            config=choices.applied_to(config),
            scenario=scenario,
            data=data,
            precision=choices.precision.precision,
            run_dir=run_dir.resolve(),
            make_evaluator=make_evaluator,
            peak_flops=choices.peak_flops,
            address=remote.address_of(run_dir.resolve()),
        )


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One stretch of one trial: train up to a rung and evaluate there; or, with an empty id, evaluate the base model."""

    trial_id: str
    config: SweepConfig
    rung: int
    """Index into the scheduler's rungs."""


class Resident:
    """One worker's warm state."""

    def __init__(
        self, setup: Setup, device: str, reporter: Reporter | None = None, notice: Callable[[], bool] = lambda: False
    ) -> None:
        """Loads the base model.

        Args:
            notice: whether this worker has been told that its machine is about to go.
        """
        import torch

        hardware.keep_freed_memory()
        self.setup = setup
        self.device = device
        self.reporter = reporter or FolderReporter(setup.run_dir)
        self._notice = notice
        self._dtype = torch.bfloat16 if setup.precision == "bf16" else torch.float32
        self._load_base(setup.config.model)
        self.trial: loop.Trial | None = None
        self.first_step_at: float | None = None
        """When the first optimiser step since the trial entered ended, in seconds of `time.time`."""
        self._has_settled = False
        self._traces = ExitStack()
        """How to take the trial on this worker off again, however far its entering came."""
        self._holds_saved_adapter = False
        _settle(trains=setup.config.model.tuning != "none")

    def _load_base(self, config: ModelConfig) -> None:
        """The base model onto the device, and what hangs on it."""
        self._of: ModelConfig | None = config
        self.base = models.load_base(config, self._dtype)
        self.base.model.to(self.device)
        self.model: Any = self.base.model
        every_model = self.setup.config.every_model
        templates = dict.fromkeys([config.template, *(model.template for model in every_model)])
        self._asked = {template: models.asked_by(self.base, config, template) for template in templates}
        self._evaluators = {template: self.setup.make_evaluator(self.setup, base) for template, base in self._asked.items()}
        self._base_weights = BaseWeights(config) if any(model.tuning == "full" for model in every_model) else None

    def _hold_base(self, config: ModelConfig) -> None:
        """Takes the base model of the trial that comes, where another is on the device; that one goes first."""
        if self._of and config.name == self._of.name:
            self._take_template(config)
            return
        started = time.perf_counter()
        self._of = None
        for name in ("model", "base", "_asked", "_evaluators", "_base_weights", "tokens", "pools"):
            vars(self).pop(name, None)
        gc.unfreeze()  # the old base is among what was set apart
        gc.collect()
        self._load_base(config)
        self._has_settled = False
        logger.info("took %s onto the warm workers in %.1f s", config.name, time.perf_counter() - started)

    def _take_template(self, config: ModelConfig) -> None:
        """Has the trial that comes read its rows by its own template."""
        if self._of and config.template != self._of.template:
            self._of, self.base = config, self._asked[config.template]
            for name in ("tokens", "pools"):
                vars(self).pop(name, None)

    def evaluate(self, model: Any, config: SweepConfig) -> Evaluation:
        """The dev evaluation of `model`, which the trial's configuration says how to ask."""
        with uncompiled():
            return self._evaluators[config.model.template](model, config)

    def evaluate_base(self) -> Evaluation:
        """The dev evaluation of the model as it is."""
        self._leave_trial()
        self._hold_base(self.setup.config.model)
        return self.evaluate(self.model, self.setup.config)

    def run(self, assignment: Assignment) -> RungRecord:
        """Trains the assigned trial up to its rung and evaluates it there; a rung that is on disk already is handed back.

        Raises:
            MixwrightError: the trial cannot go on. The worker itself stays fit for the next assignment.
            OutOfMemoryError: likewise, but other workers may be waiting for this one; only a worker that is alone stays fit.
            NodeLeavingError: a worker's machine is about to go; the trial has been saved as far as it had come.
        """
        if not self._is_here(assignment):
            self.first_step_at = None
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
        except MixwrightError:
            self._leave_trial()
            raise
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            step = self.trial.progress.step if self.trial else 0
            if workers.world_size() == 1:
                self._leave_trial()
            raise OutOfMemoryError(
                f"out of memory after step {step} ({str(error).strip().splitlines()[0] if str(error) else type(error).__name__}); "
                "lower train.micro_batch_size, set train.activation_checkpointing, or shard over more workers with train.zero_stage"
            ) from None

    def rest(self) -> None:
        """Takes a trial off that has reached its last rung, while the search makes up its mind what comes next."""
        if self.trial and len(self.trial.progress.rungs) == len(self.trial.config.search.scheduler.rungs):
            self._leave_trial(for_good=True)

    def _is_here(self, assignment: Assignment) -> bool:
        return self.trial is not None and self.trial.progress.trial_id == assignment.trial_id

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
        try:
            train_loss = loop.train_until(trial, max(1, math.ceil(fractions[rung] * trial.total_steps)))
        except loop.NodeLeavingError:
            _save_before_leaving(trial)
            raise
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
        progress = replace(
            progress, rungs=(*progress.rungs, record), tag=f"rung-{rung}-step-{progress.step}", loss_sum=0.0, learned=0
        )
        if rung == len(fractions) - 1:
            gathered = functools.partial(loop.whole_parameters, trial.engine, trial.model, trial.config.train.zero_stage)
            patiently(lambda: checkpoint.export(trial.model, self.base.tokenizer, trial.folder / "adapter", gathered()))
            rows = json.dumps(evaluation.row_influences)
            patiently(lambda: checkpoint.on_first_worker(lambda: write_text(trial.folder / ROWS_FILE, rows), trial.folder))
        checkpoint.with_store(trial.folder, lambda: _publish(trial.folder, adapter=rung == len(fractions) - 1), on_first=True)
        if trial.config.train.keeps_checkpoints:
            patiently(lambda: checkpoint.save_checkpoint(trial.engine, trial.folder / "checkpoint", progress))
        trial.progress = progress
        return record

    def _enter_trial(self, assignment: Assignment, folder: Path, saved: checkpoint.TrialProgress | None) -> loop.Trial:
        if self._is_here(assignment):
            assert self.trial is not None
            return self.trial
        started = time.perf_counter()
        self._leave_trial(for_good=True)
        config = assignment.config
        self._hold_base(config.model)
        mixture = self.mixture(config)
        self.model = self._fresh_model(config)
        rows = tuple(map(self.tokens.rendered, mixture.rows))
        global_batch = config.train.micro_batch_size * config.train.gradient_accumulation * workers.world_size()
        total_steps = batches.steps_in(len(rows), global_batch)
        engine = loop.build_engine(self.model, config, self.setup.precision, total_steps, ADAPTER)
        self._traces.callback(self._take_off, engine, config)
        _seed_worker(config.trial_seed)
        progress = checkpoint.TrialProgress(
            trial_id=assignment.trial_id, world_size=workers.world_size(), step=0, examples=0, tokens=0, seconds=0.0
        )
        if saved:
            checkpoint.load_checkpoint(engine, folder / "checkpoint", saved)
            progress = saved

        checkpoint.with_store(folder, lambda: remote.fetch(folder / METRICS_FILE), on_first=True)

        def prepare_folder() -> None:
            folder.mkdir(parents=True, exist_ok=True)
            loop.keep_steps_before(folder / METRICS_FILE, progress.step)
            rows = {name: getattr(mixture, name) for name in ("counts", "distinct", "noised", "filtered")}
            write_text(folder / MIXTURE_FILE, json.dumps(rows))

        patiently(lambda: checkpoint.on_first_worker(prepare_folder, folder))
        checkpoint.with_store(folder, lambda: remote.publish(folder / MIXTURE_FILE), on_first=True)
        self._note_first_step(engine)
        self.trial = loop.Trial(
            config=config,
            folder=folder,
            model=self.model,
            engine=engine,
            rows=rows,
            progress=progress,
            device=self.device,
            reporter=self.reporter,
            meter=Meter(model_flops(self.model), self.setup.peak_flops, self.device),
            notice=self._notice,
        )
        logger.info(
            "%s entered the warm workers in %.2f s at step %d", assignment.trial_id, time.perf_counter() - started, progress.step
        )
        return self.trial

    def _fresh_model(self, config: SweepConfig) -> Any:
        if config.model.tuning == "full":
            assert self._base_weights is not None
            if self.model is not self.base.model:
                self.model = self.model.unload()  # PEFT's wrappers around linear layers stay when their last adapter goes
            self._traces.callback(self._base_weights.restore, self.base.model)
            self.base.model.requires_grad_(True)
            return self.base.model.train()
        self._traces.callback(self._delete_adapter)
        model = models.with_adapter(self.model, config.lora, name=ADAPTER, seed=config.trial_seed).to(self.device)
        tuned = [parameter for parameter in model.parameters() if parameter.requires_grad]
        workers.take_from_first(tuned)
        for parameter in tuned:
            parameter.ds_optim_param = True  # DeepSpeed would send each of them once more, in a message of its own
        return model

    def _leave_trial(self, *, for_good: bool = False) -> None:
        """Takes the trial's engine and adapter off the base, or the base back to its own weights.

        Args:
            for_good: another one comes, so that this node needs no copy of a published checkpoint any more.
        """
        if for_good and self.trial and self.setup.address:
            shutil.rmtree(self.trial.folder / "checkpoint", ignore_errors=True)
        if self._holds_saved_adapter:
            self.model.delete_adapter(ADAPTER)
            self._holds_saved_adapter = False
        was_on_trial, self.trial = self.trial is not None, None
        self._traces.close()
        gc.collect()  # an engine is a ring of references, and its tensors would stay until Python next looks
        if was_on_trial and not self._has_settled:
            gc.freeze()  # with what the first trial has loaded
            self._has_settled = True

    def _take_off(self, engine: Any, config: SweepConfig) -> None:
        engine.destroy()
        if config.train.nvme_path:
            drop_optimizer_files(config.train.nvme_path)
        for parameter in self.base.model.parameters():
            parameter.grad = None
            if not parameter.requires_grad:
                # DeepSpeed sends every replicated parameter to all workers at each start. The first trial's start made the
                # workers agree on the frozen base; to send it again would cost each trial the time that the model takes to travel.
                parameter.ds_optim_param = True
        if config.train.activation_checkpointing:
            self.base.model.activation_checkpointing_disable()
            self.base.model.disable_input_require_grads()

    def _delete_adapter(self) -> None:
        if ADAPTER in getattr(self.model, "peft_config", {}):
            self.model.delete_adapter(ADAPTER)

    def _note_first_step(self, engine: Any) -> None:
        """Has the engine's first optimiser step leave its time in `first_step_at`; the steps after it are the engine's own."""
        self.first_step_at = None
        before, step = engine.global_steps, engine.step

        def first_step(*args: Any, **kwargs: Any) -> Any:
            result = step(*args, **kwargs)
            if engine.global_steps > before:
                self.first_step_at = time.time()
                del engine.step
            return result

        engine.step = first_step

    def mixture(self, config: SweepConfig) -> Mixture[RowName]:
        """The trial's rows."""
        return self.pools.mixture(config.mixture, self.setup.scenario.seen, seed=config.search.seed, order_seed=config.trial_seed)

    @functools.cached_property
    def pools(self) -> RankedPools[RowName]:
        """The rows that can be learned, each pool ranked once for all trials."""
        return RankedPools(self.tokens.names(), self.tokens.token_count, self.tokens)

    @functools.cached_property
    def tokens(self) -> TokenTable:
        """The token ids of all training rows; made here only where nobody has made them for all workers."""
        setup, model = self.setup, self._of or self.setup.config.model
        return setup.data.of_model(model).tokens or token_table(
            setup.data.train, self.base.tokenizer, setup.scenario, model, seed=setup.config.search.seed
        )


ADAPTER = "trial"


def _save_before_leaving(trial: loop.Trial) -> None:
    """A checkpoint between two rungs: other workers go on from it, and where it cannot be written, from the one before."""
    progress = replace(trial.progress, tag=f"notice-step-{trial.progress.step}")
    if not trial.config.train.keeps_checkpoints:
        logger.warning("%s: starts over elsewhere, since its optimiser state lives in files of this machine", progress.trial_id)
        return
    try:
        checkpoint.save_checkpoint(trial.engine, trial.folder / "checkpoint", progress)
    except TrainError as error:
        logger.warning("%s: not saved before its machine goes: %s", progress.trial_id, error)
    else:
        logger.info("%s: saved at step %d, since a machine is about to go", progress.trial_id, progress.step)


def _is_out_of_memory(error: BaseException) -> bool:
    """torch says it by type on a GPU, and on a CPU in the text of a RuntimeError alone."""
    import torch

    words = ("can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in words)


def _settle(*, trains: bool) -> None:
    """Sets all that stays apart from what garbage collection walks through.

    DeepSpeed collects at each start under ZeRO-3, which would read through torch and all other libraries for half a second.
    """
    if trains:
        with suppress(ImportError):  # one worker trains without it
            import deepspeed  # noqa: F401 - loaded now, and not inside the first trial
    gc.collect()
    gc.freeze()


def _publish(folder: Path, *, adapter: bool) -> None:
    """What a trial has at a rung, but for its checkpoint, which comes after it."""
    if adapter:
        remote.publish_folder(folder / "adapter", models.COMPLETE)
    remote.publish(folder / METRICS_FILE, folder / ROWS_FILE)


def drop_checkpoint(run_dir: Path, trial_id: str) -> None:
    """Frees the tensors of a trial that has its TrialRecord; metrics and adapter stay.

    Raises:
        StoreError: the run is on object storage that does not answer.
    """
    folder = trial_folder(run_dir, trial_id) / "checkpoint"
    shutil.rmtree(folder, ignore_errors=True)
    remote.remove(folder)


def _seed_worker(seed: int) -> None:
    """Dropout's draws: another stream on each worker, the same in every trial of a seed."""
    import torch

    digest = hashlib.blake2b(f"dropout|{seed}|{workers.rank()}".encode(), digest_size=8).digest()
    torch.manual_seed(int.from_bytes(digest, "big") >> 1)
