"""The `search` section of a search space: which keys are searched over what, by which sampler, and what counts as best.

What comes in: the section as YAML gives it. What goes out: a `SearchConfig`. What a searched key is, config.py knows alone: here
a parameter is a dotted name with a range or a list of values.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from mixwright.settings import TAGGED_KINDS, Fraction, Positive, Settings


class RangeSpec(Settings):
    """An interval to search; both ends are ordinary values."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @model_validator(mode="after")
    def _is_an_interval(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log: true needs low > 0 and no step")
        return self


class ChoiceSpec(Settings):
    """A list of values to search."""

    choices: Annotated[tuple[Any, ...], Field(min_length=1)]


def _kind_of_spec(value: Any) -> str:
    is_choice = "choices" in value if isinstance(value, dict) else isinstance(value, ChoiceSpec)
    return "choice" if is_choice else "range"


TAGGED_KINDS.update(range=RangeSpec, choice=ChoiceSpec)
SearchedKey = Annotated[Annotated[RangeSpec, Tag("range")] | Annotated[ChoiceSpec, Tag("choice")], Discriminator(_kind_of_spec)]


class SchedulerConfig(Settings):
    """Early stopping by successive halving (ASHA, Li et al. 2018) on the `seen` objective."""

    kind: Literal["asha", "none"] = "asha"
    rungs: Annotated[tuple[Fraction, ...], Field(min_length=1)] = (0.34, 1.0)
    """Shares of the training budget at which a trial is evaluated, rising, the last 1."""
    reduction_factor: Annotated[float, Field(gt=1.0)] = 2.0
    """Of the trials that reach a rung, about one in this many goes on."""

    @model_validator(mode="after")
    def _rungs_rise_to_one(self) -> Self:
        if list(self.rungs) != sorted(set(self.rungs)) or self.rungs[-1] != 1.0 or self.rungs[0] <= 0.0:
            raise ValueError(f"rungs must rise from above 0 to 1, got {list(self.rungs)}")
        return self


class ObjectiveConfig(Settings):
    """Which finished trial is best: the highest `seen` among those that keep what was never trained."""

    max_unseen_loss: Annotated[float, Field(ge=0.0)] = 1.0
    """Points (0 to 100) that `unseen` may fall below the base model's."""
    max_retention_loss: Annotated[float, Field(ge=0.0)] = 0.1
    """Nats a token that the response NLL on held-out generic rows may rise above the base model's."""


class SearchConfig(Settings):
    """What is searched. With `parameters` empty, the sweep is one fine-tune."""

    parameters: dict[str, SearchedKey] = Field(default_factory=dict)
    """Dotted key (mixture.generic_fraction, lora.rank, mixture.task_weights.fluency, ...) -> range or choices."""
    first: tuple[dict[str, Any], ...] = ()
    """Points to try before the sampler chooses; each names every searched key."""
    trials: Positive = 1
    sampler: Literal["tpe", "random"] = "tpe"
    startup_trials: Positive = 4
    """Random trials before TPE models what it has seen."""
    seed: int = 0
    """Seed of the sampler, the choice and order of rows, the wordings and, unless train.seed is set, the adapters."""
    scheduler: SchedulerConfig = SchedulerConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    storage: str | None = None
    """Database of the Optuna study: postgresql://USER:${PASSWORD}@HOST/DATABASE, or all of it as ${NAME}; what is in braces comes
    from the environment. None: study.db in the run folder."""
    storage_patience_s: Annotated[float, Field(ge=0.0)] = 300.0
    """How long a sweep waits for that database when it is away, at the start or later, before it ends so that --resume goes on."""

    @field_validator("storage")
    @classmethod
    def _no_password_is_written_down(cls, storage: str | None) -> str | None:
        if storage is None or re.fullmatch(r"\$\{\w+\}", storage):
            return storage
        if not storage.startswith(("postgresql://", "postgresql+psycopg://")):
            raise ValueError("must begin with postgresql:// (leave it out for study.db in the run folder)")
        secrets = [*re.findall(r"://[^/@]*?:([^/]*)@", storage), *re.findall(r"[?&]password=([^&]*)", storage)]
        if any(not re.fullmatch(r"\$\{\w+\}", secret) for secret in secrets):
            raise ValueError("holds a password, which the run folder would keep; write ${NAME} in its place and set NAME")
        return storage

    @model_validator(mode="after")
    def _one_point_is_one_trial(self) -> Self:
        if not self.parameters and self.trials != 1:
            raise ValueError(f"no parameters are searched, so all {self.trials} trials would be the same; set trials: 1")
        for point in self.first:
            if set(point) != set(self.parameters):
                raise ValueError(f"first: {point} must name exactly the searched keys {sorted(self.parameters)}")
            for key, spec in self.parameters.items():
                if isinstance(spec, ChoiceSpec) and point[key] not in spec.choices:
                    raise ValueError(f"first: {key} must be one of its choices {list(spec.choices)}, got {point[key]!r}")
        return self


def ends(spec: RangeSpec | ChoiceSpec) -> tuple[Any, ...]:
    """All choices, or both ends of a range."""
    return spec.choices if isinstance(spec, ChoiceSpec) else (spec.high, spec.low)
