"""The `search` section of a search space: which keys are searched over what, by which sampler, and what counts as best.

What comes in: the section as YAML gives it. What goes out: a `SearchConfig`. What a searched key is, config.py knows alone: here
a parameter is a dotted name with a range or a list of values.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from mixwright.errors import did_you_mean
from mixwright.settings import TAGGED_KINDS, Fraction, Positive, Settings

Finite = Annotated[float, Field(allow_inf_nan=False)]
Conditions = dict[str, Any]

ObjectiveName = Literal["seen", "unseen", "retention"]
OBJECTIVES: tuple[str, ...] = get_args(ObjectiveName)
SCALAR = "objective"
"""Name of the one number that scheduler and choice maximise."""
Sampler = Literal["tpe", "gp", "surface", "nsga2", "cmaes", "grid", "random", "qmc"]
ONE_SPACE_FOR_ALL = ("gp", "nsga2", "cmaes")
"""Samplers that learn from the keys which all trials have; what hangs on a condition they would draw at random."""


class RangeSpec(Settings):
    """An interval to search; both ends are ordinary values."""

    low: Finite
    high: Finite
    log: bool = False
    step: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None
    when: Conditions = Field(default_factory=dict)
    """Searched key -> value, list of values, or {low, high}: the key is searched in those trials alone where all of it holds, and
    stands as the file has it in the others."""

    @model_validator(mode="after")
    def _is_an_interval(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log: true needs low > 0 and no step")
        if self.step is not None and abs((count := (self.high - self.low) / self.step) - round(count)) > 1e-9:
            last = self.low + math.floor(count) * self.step
            raise ValueError(
                f"step {self.step:g} does not lead from {self.low:g} to {self.high:g}; set high: {last:g}, or another step"
            )
        return self


class ChoiceSpec(Settings):
    """A list of values to search."""

    choices: Annotated[tuple[Any, ...], Field(min_length=1)]
    when: Conditions = Field(default_factory=dict)
    """As for a range."""

    @model_validator(mode="after")
    def _choices_differ(self) -> Self:
        texts = [encoded(choice) for choice in self.choices]
        if twice := [text for text in texts if texts.count(text) > 1]:
            raise ValueError(f"choices must differ, and {twice[0]!r} stands there twice; remove one")
        return self


class SimplexSpec(Settings):
    """Weights that sum to 1, one a name. The sampler sees one independent number in (0, 1] for each, and the trial gets weights."""

    simplex: Annotated[tuple[str, ...], Field(min_length=2)]
    """The names that share; for `mixture.task_weights`, trained tasks of the scenario."""
    bounds: dict[str, tuple[Fraction, Fraction]] = Field(default_factory=dict)
    """Name -> lowest and highest weight. Draws beyond a highest weight are made again; what is allowed stays as likely."""
    concentration: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 1.0
    """Of the Dirichlet distribution that independent uniform numbers give. 1: flat, all weights alike; below 1: few names share
    most; above: near to equal."""
    when: Conditions = Field(default_factory=dict)
    """As for a range."""

    @model_validator(mode="after")
    def _weights_can_sum_to_one(self) -> Self:
        if len(set(self.simplex)) < len(self.simplex):
            raise ValueError(f"simplex must name each once, got {list(self.simplex)}")
        if unknown := sorted(set(self.bounds) - set(self.simplex)):
            raise ValueError(
                f"bounds: {unknown[0]!r} is not in the simplex {list(self.simplex)}; add it there, or remove its bounds"
            )
        for name, (low, high) in self.bounds.items():
            if low >= high:
                raise ValueError(f"bounds: {name}: low must be below high, got {low} and {high}")
        lowest, highest = (sum(self.bounds.get(name, (0.0, 1.0))[end] for name in self.simplex) for end in (0, 1))
        if lowest >= 1 or highest <= 1:
            raise ValueError(f"bounds: the weights sum to 1, and the bounds allow {lowest:g} to {highest:g} alone; widen them")
        return self


Spec = RangeSpec | ChoiceSpec | SimplexSpec


def encoded(choice: Any) -> str | int | float | bool | None:
    """A choice as Optuna stores it: plain values as they are, lists and mappings as JSON."""
    return choice if choice is None or isinstance(choice, str | int | float | bool) else json.dumps(choice)


def _kind_of_spec(value: Any) -> str:
    for kind, (word, spec) in {"choice": ("choices", ChoiceSpec), "simplex": ("simplex", SimplexSpec)}.items():
        if word in value if isinstance(value, dict) else isinstance(value, spec):
            return kind
    return "range"


TAGGED_KINDS.update(range=RangeSpec, choice=ChoiceSpec, simplex=SimplexSpec)
SearchedKey = Annotated[
    Annotated[RangeSpec, Tag("range")] | Annotated[ChoiceSpec, Tag("choice")] | Annotated[SimplexSpec, Tag("simplex")],
    Discriminator(_kind_of_spec),
]


class ConstraintsConfig(Settings):
    """What a configuration must keep to be trained at all. It is known before training, so a draw that breaks it is made again."""

    max_trainable_parameters: Positive | None = None
    """Of an adapter, or of the whole model where every weight is tuned."""
    max_memory_gib: Annotated[float, Field(gt=0.0)] | None = None
    """Of one worker in training, by the plan's estimate."""


class SchedulerConfig(Settings):
    """Early stopping on what is maximised: halving (ASHA, Li et al. 2018), the median rule (Golovin et al. 2017), or none."""

    kind: Literal["asha", "median", "none"] = "asha"
    """median: a trial ends at a rung where its best value so far is below the median of the other trials' means up to there."""
    rungs: Annotated[tuple[Fraction, ...], Field(min_length=1)] = (0.34, 1.0)
    """Shares of the training budget at which a trial is evaluated, rising, the last 1."""
    reduction_factor: Annotated[float, Field(gt=1.0)] = 2.0
    """asha: of the trials that reach a rung, about one in this many goes on."""
    min_trials: Positive = 3
    """median: trials that must have reached a rung before another is stopped there."""

    @model_validator(mode="after")
    def _rungs_rise_to_one(self) -> Self:
        if list(self.rungs) != sorted(set(self.rungs)) or self.rungs[-1] != 1.0 or self.rungs[0] <= 0.0:
            raise ValueError(f"rungs must rise from above 0 to 1, got {list(self.rungs)}")
        return self

    @property
    def share_that_goes_on(self) -> float:
        """Of the trials that reach a rung, by the rule."""
        return {"asha": 1 / self.reduction_factor, "median": 0.5, "none": 1.0}[self.kind]


class ObjectiveConfig(Settings):
    """What is maximised, and which finished trial is best: by default the highest `seen` among those that keep what was never
    trained."""

    kind: Literal["pareto", "constrained", "weighted"] = "pareto"
    """pareto: the sampler gets all objectives and looks for their front. constrained: it gets `maximize`, and the limits below as
    constraints. weighted: it gets the sum of `weights` times objectives, and the highest sum is best, whatever the limits."""
    names: tuple[ObjectiveName, ...] = ()
    """pareto: the objectives of the front; empty means all that the scenario has."""
    maximize: ObjectiveName = "seen"
    """What the best trial has most of, among those within the limits; where kind is weighted, the sum stands in its place."""
    weights: dict[ObjectiveName, Finite] = Field(default_factory=dict)
    """weighted: seen and unseen are points of 0 to 100, retention is nats a token."""
    max_unseen_loss: Annotated[float, Field(ge=0.0)] = 1.0
    """Points (0 to 100) that `unseen` may fall below the base model's."""
    max_unseen_loss_percent: Annotated[float, Field(ge=0.0)] | None = None
    """The same in percent of the base model's `unseen`; takes the place of the points."""
    max_retention_loss: Annotated[float, Field(ge=0.0)] = 0.1
    """Nats a token that the response NLL on held-out generic rows may rise above the base model's."""
    max_retention_loss_percent: Annotated[float, Field(ge=0.0)] | None = None
    """The same in percent of the base model's NLL there; takes the place of the nats."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.weights and self.kind != "weighted":
            raise ValueError(
                f"`weights` are read where kind is weighted, and it is {self.kind}; remove them, or set `kind: weighted`"
            )
        if self.kind == "weighted" and not any(self.weights.values()):
            raise ValueError("kind weighted needs `weights`, one of them not 0; for instance {seen: 1, unseen: 0.5}")
        if self.names and self.kind != "pareto":
            raise ValueError(f"`names` are read where kind is pareto, and it is {self.kind}; remove them, or set `kind: pareto`")
        if self.names and len(set(self.names)) < 2:
            raise ValueError(f"a front needs two objectives or more, got {list(self.names)}; for one, set `kind: constrained`")
        return self

    @property
    def asked(self) -> tuple[ObjectiveName, ...]:
        """The objectives that must be reported; the limits hold where theirs is."""
        named = {
            "pareto": self.names,
            "constrained": (),
            "weighted": tuple(name for name, weight in self.weights.items() if weight),
        }
        return tuple(dict.fromkeys([*named[self.kind], *(() if self.kind == "weighted" else (self.maximize,))]))

    @property
    def front(self) -> tuple[str, ...]:
        """The objectives of the front; what a scenario does not report is passed over."""
        return self.names or OBJECTIVES

    def scalar(self, objectives: Mapping[str, float | None]) -> float:
        """What one number is maximised by scheduler and choice; NaN where a part of it is missing."""
        if self.kind != "weighted":
            value = objectives.get(self.maximize)
            return math.nan if value is None else value
        parts = [(weight, objectives.get(name)) for name, weight in self.weights.items() if weight]
        return sum(weight * (math.nan if value is None else value) for weight, value in parts)

    def scalar_error(self, errors: Mapping[str, float | None]) -> float | None:
        """The standard error of `scalar`, with the objectives' own taken for independent; None where one is missing."""
        weights = dict(self.weights) if self.kind == "weighted" else {self.maximize: 1.0}
        parts = [(weight, errors.get(name)) for name, weight in weights.items() if weight]
        known = [weight * error for weight, error in parts if error is not None]
        return math.hypot(*known) if len(known) == len(parts) else None

    @property
    def scalar_text(self) -> str:
        """`scalar` in words."""
        if self.kind != "weighted":
            return "mean over seen tasks" if self.maximize == "seen" else self.maximize
        return " + ".join(f"{weight:g} x {name}" for name, weight in self.weights.items() if weight)

    def excess(
        self, objectives: Mapping[str, float | None], base: Mapping[str, float | None], base_loss: float | None
    ) -> dict[str, float]:
        """How far each limit is overstepped, in its own unit; 0 or below: it is kept. A limit on what is not reported is left out.

        Args:
            base_loss: the base model's NLL on held-out generic rows, nats a token; where it is unknown, the limit in nats counts.
        """
        found = {}
        unseen, of_base, retention = objectives.get("unseen"), base.get("unseen"), objectives.get("retention")
        if unseen is not None and of_base is not None:
            found["unseen"] = of_base - unseen - self.unseen_limit(of_base)
        if retention is not None:
            found["retention"] = (base.get("retention") or 0.0) - retention - self.retention_limit(base_loss)
        return found

    def unseen_limit(self, of_base: float) -> float:
        """Points that `unseen` may fall."""
        percent = self.max_unseen_loss_percent
        return self.max_unseen_loss if percent is None else percent / 100 * of_base

    def retention_limit(self, base_loss: float | None) -> float:
        """Nats a token that may be lost."""
        percent = self.max_retention_loss_percent
        return self.max_retention_loss if percent is None or base_loss is None else percent / 100 * base_loss

    @property
    def unseen_text(self) -> str:
        """The limit on `unseen` in words."""
        if self.max_unseen_loss_percent is not None:
            return f"{self.max_unseen_loss_percent:g} %"
        return "1 point" if self.max_unseen_loss == 1 else f"{self.max_unseen_loss:g} points"

    @property
    def retention_text(self) -> str:
        """The limit on `retention` in words."""
        percent = self.max_retention_loss_percent
        return f"{self.max_retention_loss:g} nats" if percent is None else f"{percent:g} %"

    @property
    def limits_text(self) -> str:
        """The limits in words."""
        return f"unseen within {self.unseen_text} and retention within {self.retention_text} of base"


class ConfirmConfig(Settings):
    """The best points of a search, trained again with fresh seeds before one is called best: candidates x seeds more trials, each
    of the whole budget."""

    candidates: Annotated[int, Field(ge=0)] = 0
    """Points that are confirmed, the best ones by the response surface; 0: none."""
    seeds: Positive = 2
    """Fresh values of train.seed for each."""

    @property
    def trials(self) -> int:
        """How many more."""
        return self.candidates * self.seeds


class SearchConfig(Settings):
    """What is searched. With `parameters` empty, the sweep is one fine-tune."""

    parameters: dict[str, SearchedKey] = Field(default_factory=dict)
    """Dotted key (mixture.generic_fraction, lora.rank, mixture.task_weights, ...) -> range, choices or simplex."""
    first: tuple[dict[str, Any], ...] = ()
    """Points to try before the sampler chooses; each names every searched key that applies there."""
    trials: Positive = 1
    """Trials that are trained; draws that `constraints` refuse do not count."""
    sampler: Sampler = "tpe"
    """tpe, gp (Gaussian process), surface (ours, which knows the noise of each score and asks where one more trial teaches most),
    nsga2 (genetic), cmaes (evolution strategy), grid (every combination, in a seeded order), random, or qmc (quasi-random: a
    scrambled Sobol sequence)."""
    startup_trials: Positive = 4
    """Random trials (surface: evenly spread ones) before tpe, gp, surface and cmaes model what they have seen; nsga2: trials of a
    generation."""
    seed: int = 0
    """Seed of the sampler, the choice and order of rows, the wordings and, unless train.seed is set, the adapters."""
    scheduler: SchedulerConfig = SchedulerConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    constraints: ConstraintsConfig = ConstraintsConfig()
    confirm: ConfirmConfig = ConfirmConfig()
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
        return self

    @model_validator(mode="after")
    def _conditions_can_hold(self) -> Self:
        problems = [
            f"parameters.{key}.when.{name}: {problem}"
            for key, spec in self.parameters.items()
            for name, wanted in spec.when.items()
            for problem in self._problems_of_condition(key, name, wanted)
        ]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _problems_of_condition(self, key: str, name: str, wanted: Any) -> Iterator[str]:
        parent = self.parameters.get(name)
        if parent is None:
            known = ", ".join(other for other in self.parameters if other != key) or "nothing"
            yield f"no such searched key{did_you_mean(name, self.parameters) or f'; searched beside it: {known}'}"
        elif isinstance(parent, SimplexSpec):
            yield "a condition on weights that sum to 1 is not supported; search one weight as a range"
        elif key in ancestors(self.parameters, key):
            circle = [other for other in ancestors(self.parameters, key) if key in ancestors(self.parameters, other)]
            if key == min(circle):  # told once
                yield f"the conditions of {', '.join(sorted(circle))} go round in a circle; remove one of them"
        else:
            for value in alternatives(wanted):
                if not _may_take(parent, value):
                    taken = list(parent.choices) if isinstance(parent, ChoiceSpec) else f"{parent.low:g} to {parent.high:g}"
                    yield f"{name} never takes {value!r}; it takes {taken}"

    @model_validator(mode="after")
    def _the_sampler_fits(self) -> Self:
        if not self.parameters:
            return self
        if self.sampler in ONE_SPACE_FOR_ALL and (conditional := [key for key, spec in self.parameters.items() if spec.when]):
            raise ValueError(
                f"sampler {self.sampler} models one space that all trials share, and {conditional[0]} has a condition; "
                "use tpe, random or qmc, or write a search space for each value"
            )
        if self.sampler == "cmaes":
            if self.objective.kind != "weighted":
                rule = "has several" if self.objective.kind == "pareto" else "has limits that it would not see"
                raise ValueError(
                    f"sampler cmaes takes one objective, and kind {self.objective.kind} {rule}; set objective.kind to weighted, "
                    "or use nsga2"
                )
            if not any(isinstance(spec, RangeSpec | SimplexSpec) for spec in self.parameters.values()):
                raise ValueError(
                    "sampler cmaes moves along ranges, and only choices are searched; use tpe or grid, or search a range"
                )
        if self.sampler == "nsga2" and self.startup_trials < 2:
            raise ValueError("sampler nsga2 needs a generation of two or more; set startup_trials, its size")
        return self


def alternatives(wanted: Any) -> tuple[Any, ...]:
    """The values, or the one {low, high}, that a condition is content with."""
    return tuple(wanted) if isinstance(wanted, list | tuple) else (wanted,)


def ancestors(parameters: Mapping[str, Spec], key: str) -> set[str]:
    """Keys that the conditions of `key` hang on, at whatever distance."""
    found: set[str] = set()
    waiting = [*parameters[key].when]
    while waiting:
        name = waiting.pop()
        if name in parameters and name not in found:
            found.add(name)
            waiting += parameters[name].when
    return found


def _may_take(spec: RangeSpec | ChoiceSpec, wanted: Any) -> bool:
    """Whether a key that is searched over `spec` can ever be what one alternative of a condition wants."""
    if isinstance(spec, ChoiceSpec):
        return any(holds(wanted, choice) for choice in spec.choices)
    if isinstance(wanted, dict):
        return _is_interval(wanted) and wanted.get("low", spec.low) <= spec.high and wanted.get("high", spec.high) >= spec.low
    return isinstance(wanted, int | float) and not isinstance(wanted, bool) and spec.low <= wanted <= spec.high


def holds(wanted: Any, value: Any) -> bool:
    """Whether `value` is what a condition wants: equal to it or to one of a list, or within {low, high}, both ends included."""
    return any(_matches(alternative, value) for alternative in alternatives(wanted))


def _matches(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, dict) and _is_interval(wanted):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and wanted.get("low", -math.inf) <= value <= wanted.get("high", math.inf)
    return isinstance(wanted, bool) == isinstance(value, bool) and bool(encoded(wanted) == encoded(value))


def _is_interval(wanted: dict[str, Any]) -> bool:
    return bool(wanted) and set(wanted) <= {"low", "high"} and all(isinstance(end, int | float) for end in wanted.values())


def ends(spec: Spec) -> tuple[Any, ...]:
    """All choices, both ends of a range, or the lowest and the highest of any weight of a simplex."""
    if isinstance(spec, SimplexSpec):
        return (1.0, 0.0)
    return spec.choices if isinstance(spec, ChoiceSpec) else (spec.high, spec.low)
