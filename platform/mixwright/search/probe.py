"""A few steps and one evaluation of a real trial, on this machine, for a plan that is to be believed.

What comes in: a configuration, its scenario and tokenised data. What goes out: a `Speed`. The trial is the first that the space
would have, with its own rows and settings, cut off after some steps; a process of its own trains it, so that its memory is a
worker's.
"""

from __future__ import annotations

import logging
import multiprocessing
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mixwright.config import SweepConfig
from mixwright.data.prepare import PreparedData
from mixwright.records import RungRecord
from mixwright.scenarios import Scenario
from mixwright.search.evaluator import DevEvaluator
from mixwright.train import batches, process
from mixwright.train.choices import choose, rough_tokens
from mixwright.train.hardware import share_of_machine
from mixwright.train.reporter import StepReport
from mixwright.train.resident import Assignment, Resident, Setup

STEPS = 8
"""Of each of two trials. The first warms the process up, as happens once in a lane's life; the second is measured."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What a trial takes on one worker of this machine."""

    tokens_per_second: float
    evaluation_s: float
    """One dev evaluation of a trial."""
    switch_s: float
    """From one trial to the next: adapter and optimiser made, checkpoint and adapter saved."""
    start_s: float
    """From a fresh process to a base model that is loaded and evaluated; once a lane."""
    memory_gib: float
    steps: int


@dataclass
class _Notes:
    """A `Reporter` that keeps steps."""

    steps: list[StepReport] = field(default_factory=list)

    def step(self, report: StepReport) -> None:
        self.steps.append(report)

    def rung(self, trial_id: str, record: RungRecord) -> None:
        """Nothing: the probe times it itself."""


def measure(config: SweepConfig, scenario: Scenario, data: PreparedData) -> Speed:
    """Trains and evaluates in a process of its own; takes a worker's start, some steps and two evaluations.

    Args:
        config: with `cluster` settled.
        data: tokenised.
    """
    tokens = rough_tokens(config, data)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, config, scenario, data.for_workers(), tokens, time.time()).result()


def _measure(config: SweepConfig, scenario: Scenario, data: PreparedData, tokens: float, asked_at: float) -> Speed:
    import torch

    logging.getLogger("mixwright").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="mixwright-plan-") as folder, process.group() as device:
        share = share_of_machine(config.cluster.cpus_per_worker)
        torch.set_num_threads(config.cluster.cpus_per_worker)
        choices = choose(config, device, tokens=tokens, share=share)
        notes = _Notes()
        setup = Setup(
            config=choices.applied_to(config),
            scenario=scenario,
            data=data,
            precision=choices.precision.precision,
            run_dir=Path(folder),
            make_evaluator=DevEvaluator,
            peak_flops=choices.peak_flops,
        )
        resident = Resident(setup, device, notes)
        config = _cut_off(setup.config, len(resident.mixture(setup.config).rows))
        resident.evaluate_base()
        started = time.time()
        resident.run(Assignment(trial_id="trial_0000", config=config, rung=0))
        begun, notes.steps = time.time(), []
        record = resident.run(Assignment(trial_id="trial_0001", config=config, rung=0))
        switch_s = time.time() - begun - record.seconds
        warm = notes.steps
        return Speed(
            tokens_per_second=statistics.median(step.tokens_per_second for step in warm),
            evaluation_s=record.seconds - sum(step.seconds for step in warm),
            switch_s=max(0.0, switch_s),
            start_s=started - asked_at,
            memory_gib=max(step.memory_gib for step in warm),
            steps=len(warm),
        )


def _cut_off(config: SweepConfig, rows: int) -> SweepConfig:
    """The trial with its first rung after some steps; its rates and rows are those of the whole."""
    total = batches.steps_in(rows, config.train.micro_batch_size * config.train.gradient_accumulation)
    scheduler = config.search.scheduler.model_copy(update={"rungs": (min(1.0, STEPS / total), 1.0) if total > STEPS else (1.0,)})
    return config.model_copy(update={"search": config.search.model_copy(update={"scheduler": scheduler})})
