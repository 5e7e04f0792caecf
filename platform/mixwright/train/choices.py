"""The options that hang on the machine, settled once at a run's start and said in one line.

What comes in: a configuration, the device that a worker will train on, and how much it will train. What goes out: `Choices`:
precision and peak rate (measured), activation checkpointing (by the memory that is needed and the memory that is free) and
torch.compile (by what it was measured to give and to cost). What the user has set stands; only `auto` is chosen for.
"""

from __future__ import annotations

from dataclasses import dataclass

from mixwright import native, prepacked
from mixwright.config import SweepConfig
from mixwright.data.prepare import PreparedData
from mixwright.records import GENERIC, Example
from mixwright.train import compiling, hardware
from mixwright.train.flops import UTILISATION
from mixwright.train.precision import PrecisionChoice, choose_precision
from mixwright.train.sizes import ModelSizes, heaviest, model_sizes, planned_flops, prepacked_gib, training_gib

MOST_MEMORY = 0.85
"""Share of the free memory that training may be estimated at; the estimate knows nothing of allocators and libraries."""
COMPILE_S = 60.0
HIGHEST_GAIN = 0.25
"""What compiling the layers took, and the most of a step's time that it saved, where it was measured (benchmarks/README.md). A run
that these could not help is spared the measurement, which costs one compilation more."""
PREPACK_MEMORY = 0.1
"""The share of the free memory that copies of frozen weights may take."""
NO_OWN_PASS = "off (they are our own pass's, which is not taken)"
CHARACTERS_A_TOKEN = 4.0
TEMPLATE_TOKENS = 30
"""For an estimate of a row's tokens before anything is tokenised."""


@dataclass(frozen=True, kw_only=True)
class Switch:
    """An option that is on or off, and why."""

    on: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a run takes, and why."""

    precision: PrecisionChoice
    peak_flops: float
    """Of one worker in that precision, operations a second."""
    compile: Switch
    activation_checkpointing: Switch
    prepack: Switch
    own_operators: Switch
    """Whether our pass runs on native.cpp."""

    @property
    def line(self) -> str:
        """All of it in one line."""
        return "; ".join(
            [
                self.precision.reason,
                f"matrix products reach {self.peak_flops / 1e9:,.0f} GFLOP/s a worker",
                f"torch.compile {self.compile.reason}",
                f"activation checkpointing {self.activation_checkpointing.reason}",
                f"prepacked weights {self.prepack.reason}",
                f"own operators {self.own_operators.reason}",
            ]
        )

    def applied_to(self, config: SweepConfig) -> SweepConfig:
        """The configuration with every `auto` of these replaced by what was chosen; the same where nothing is trained."""
        if config.model.tuning == "none":
            return config
        return config.with_values(
            {
                "train.precision": self.precision.precision,
                "train.compile": self.compile.on,
                "train.activation_checkpointing": self.activation_checkpointing.on,
                "train.prepack": self.prepack.on,
            }
        )


def choose(config: SweepConfig, device: str, *, tokens: float, share: float) -> Choices:
    """Measures on `device` what is not set, in a second or two; where compiling may pay, in about a minute more.

    Args:
        tokens: that one worker process will train in all.
        share: of the machine's memory that this worker may count on; a GPU is its own.
    """
    config = heaviest(config)
    precision = choose_precision(config.train, device)
    peak = hardware.peak_flops(precision.precision, device)
    sizes = model_sizes(config)
    seconds = planned_flops(config, sizes).a_token * tokens / (peak * UTILISATION)
    free = hardware.free_gib(device, share)
    compiled = _compile(config, precision, device, seconds)
    return Choices(
        precision=precision,
        peak_flops=peak,
        compile=compiled,
        activation_checkpointing=_activation_checkpointing(config, sizes, precision, free),
        prepack=_prepack(config, sizes, precision, device, free, compiled=compiled.on),
        own_operators=_own_operators(config, precision, device, compiled=compiled.on),
    )


def _compile(config: SweepConfig, precision: PrecisionChoice, device: str, seconds: float) -> Switch:
    """On where the measured gain over the run's estimated `seconds` is more than the measured cost."""
    setting = config.train.compile
    if setting != "auto":
        return Switch(on=setting, reason=f"{'on' if setting else 'off'} (as configured)")
    if config.model.tuning == "none":
        return Switch(on=False, reason="off (nothing is trained)")
    if config.train.zero_stage == 3:
        return Switch(on=False, reason="off (ZeRO-3 fetches parameters inside the layers)")
    if seconds * HIGHEST_GAIN < 2 * COMPILE_S:
        return Switch(on=False, reason=f"off (about {seconds:.0f} s of training a worker cannot earn back what compiling costs)")
    gain = compiling.measure_gain(config, precision.precision, device)
    saved = seconds * (1 - 1 / gain.speedup)
    on = saved > gain.cost_s
    figures = (
        f"{gain.speedup:.2f} x the speed of a layer, {gain.cost_s:.0f} s to compile, about {seconds:.0f} s of training a worker"
    )
    return Switch(on=on, reason=f"{'on' if on else 'off'} ({figures})")


def _activation_checkpointing(config: SweepConfig, sizes: ModelSizes, precision: PrecisionChoice, free: float) -> Switch:
    """On where training would not fit into the free memory without it."""
    setting = config.train.activation_checkpointing
    if setting != "auto":
        return Switch(on=setting, reason=f"{'on' if setting else 'off'} (as configured)")
    if config.model.tuning == "none":
        return Switch(on=False, reason="off (nothing is trained)")
    without, with_it = (training_gib(config, sizes, precision.precision, activation_checkpointing=on) for on in (False, True))
    on = without > MOST_MEMORY * free
    figures = f"about {without:.1f} GiB a worker of {free:.1f} GiB free"
    if on:
        figures += f", about {with_it:.1f} with it"
        figures += "" if with_it <= MOST_MEMORY * free else ": it may still not fit; lower train.micro_batch_size"
    return Switch(on=on, reason=f"{'on' if on else 'off'} ({figures})")


def _takes_own_pass(config: SweepConfig, *, compiled: bool) -> bool:
    """Whether training may go through our own pass, as far as the settings tell; the model has its say when it is loaded."""
    plain = any(model.tuning == "lora" and model.quantization == "none" for model in config.every_model)
    return plain and config.train.zero_stage < 3 and not compiled


def _prepack(
    config: SweepConfig, sizes: ModelSizes, precision: PrecisionChoice, device: str, free: float, *, compiled: bool
) -> Switch:
    """On where the layers' products gain by it and two copies of their matrices are a small part of the free memory."""
    setting = config.train.prepack
    if setting is False:
        return Switch(on=False, reason="off (as configured)")
    if not _takes_own_pass(config, compiled=compiled):
        return Switch(on=False, reason=NO_OWN_PASS)
    if not prepacked.available(precision.precision, device):
        return Switch(on=False, reason=f"off (no such products in {precision.precision} on this {device})")
    if setting is True:
        return Switch(on=True, reason="on (as configured)")
    copies = prepacked_gib(sizes)
    if copies > PREPACK_MEMORY * free:
        return Switch(on=False, reason=f"off (two copies take {copies:.1f} GiB a worker of {free:.1f} GiB free)")
    gain = prepacked.measure_gain(2 * sizes.inner, sizes.hidden)
    on = gain > 1.0
    return Switch(on=on, reason=f"{'on' if on else 'off'} (products at {gain:.2f} x the speed, {copies:.1f} GiB more a worker)")


def _own_operators(config: SweepConfig, precision: PrecisionChoice, device: str, *, compiled: bool) -> Switch:
    if reason := native.why_not(precision.precision, device):
        return Switch(on=False, reason=f"off ({reason})")
    if not _takes_own_pass(config, compiled=compiled):
        return Switch(on=False, reason=NO_OWN_PASS)
    return Switch(on=True, reason="on (compiled)")


def rough_tokens(config: SweepConfig, data: PreparedData) -> float:
    """About how many tokens one trial trains, from its rows' characters."""
    mixture = config.mixture
    if mixture.budget == "tokens":
        return float(mixture.size * mixture.epochs)
    pools = {task: rows for task, rows in data.train.items() if rows}
    scenario = [_mean_tokens(rows) for task, rows in pools.items() if task != GENERIC]
    generic = _mean_tokens(pools[GENERIC]) if GENERIC in pools else 0.0
    of_scenario = sum(scenario) / len(scenario) if scenario else 0.0
    fraction = mixture.generic_fraction
    rows = mixture.size / (1 - fraction) if mixture.budget == "scenario_examples" else mixture.size
    return mixture.epochs * rows * (fraction * generic + (1 - fraction) * of_scenario)


def _mean_tokens(rows: list[Example]) -> float:
    sample = rows[:64]  # pools are in a seeded order, so the first rows are a fair sample
    characters = sum(len(row.text) + len(row.instruction or "") + len(row.references[0]) for row in sample)
    return characters / len(sample) / CHARACTERS_A_TOKEN + TEMPLATE_TOKENS
