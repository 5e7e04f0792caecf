"""What a sweep would take, before anything is launched.

What comes in: a configuration and its scenario. What goes out: a `Plan` of trials, rows, tokens, memory and time. Counts and
tokens are exact for the ends of the searched fractions; memory follows from the model's own sizes; time is an estimate from a
measured matrix product and says so. Where nothing is trained, the plan counts answers.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixwright import models
from mixwright.config import MAX_NEW_TOKENS, SimplexSpec, SweepConfig, ends
from mixwright.data.prepare import PreparedData, prepare, tokenize
from mixwright.errors import ConfigError, MixtureError
from mixwright.evaluate.runner import evaluation_rows
from mixwright.mixture import Mixture, RankedPools
from mixwright.records import Example
from mixwright.scenarios import Scenario
from mixwright.search.resources import settled, this_machine
from mixwright.search.sweep import expected_share
from mixwright.search_config import Spec
from mixwright.search_points import vertices
from mixwright.train import batches
from mixwright.train.flops import UTILISATION
from mixwright.train.hardware import peak_flops
from mixwright.train.precision import choose_precision, default_device
from mixwright.train.sizes import model_sizes, planned_flops, training_gib, weights_gib


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The size of a sweep."""

    trials: int
    steps: int
    """Of one trial that runs its whole budget."""
    tokens: tuple[int, int]
    """Of one whole trial, prompt and response, at the fewest and the most over the corners of the searched space."""
    expected_tokens: float
    """Of the whole sweep, with early stopping as halving would have it."""
    parameters: int
    precision: str
    memory_gib: float
    """Of one worker: weights, adapter with optimiser, activations of one micro-batch; without training, the base's weights."""
    peak_flops: float
    """Measured rate of matrix products of a process on this machine, operations a second; 0 where nothing is trained."""
    hours: float
    """Training alone, all lanes of this machine's size busy one after another; evaluation comes on top."""
    adapter: str = ""
    """The one that is asked as it is; empty where trials train."""
    answers: int = 0
    """Of one evaluation on dev."""
    longest_answer: int = 0
    """Tokens, the most that any trial allows."""


def corners(config: SweepConfig) -> list[dict[str, Any]]:
    """Every combination of the ends of the searched mixture keys; one empty corner where none is searched."""
    searched = {key: spec for key, spec in config.search.parameters.items() if key.startswith("mixture.")}
    own_corners = [_corners_of(key, spec) for key, spec in searched.items()]
    return [dict(itertools.chain.from_iterable(map(dict.items, corner))) for corner in itertools.product(*own_corners)]


def _corners_of(key: str, spec: Spec) -> list[dict[str, Any]]:
    """The ends of one key; where it hangs on a condition, also that it stands as the file has it."""
    own = [*vertices(spec, key)] if isinstance(spec, SimplexSpec) else [{key: value} for value in reversed(ends(spec))]
    return [*own, {}] if spec.when else own


def corner_mixtures(config: SweepConfig, scenario: Scenario, data: PreparedData) -> list[Mixture[Example]]:
    """The mixtures of tokenised data at the corners of the searched space; what fits there fits in between.

    Raises:
        MixtureError: a corner asks for more than the data holds; the message names the corner.
    """
    assert data.tokens is not None, "rows are tokenised before they are mixed"
    pools = RankedPools(data.train, data.tokens.token_count)
    mixtures = []
    for corner in corners(config):
        try:
            trial = config.with_values(corner)
        except ConfigError:
            continue  # all task weights at zero: the sampler will not meet that corner exactly
        try:
            mixtures.append(pools.mixture(trial.mixture, scenario.seen, seed=config.search.seed))
        except MixtureError as error:
            at = ", ".join(f"{key} {value}" for key, value in corner.items())
            raise MixtureError(f"{error}" + (f" (at {at})" if at else "")) from None
    return mixtures


def check_every_mixture_fits(config: SweepConfig, scenario: Scenario, data: PreparedData) -> None:
    """Refuses, before the first trial, a space whose corners the data cannot serve."""
    corner_mixtures(config, scenario, data)


def make(config: SweepConfig, scenario: Scenario) -> Plan:
    """Reads and tokenises the data, mixes the corners and measures a matrix product; launches nothing."""
    tokenizer = models.load_tokenizer(config.model)
    seed = config.search.seed
    data = prepare(config.data, scenario, seed=seed)
    if config.model.tuning == "none":
        return _without_training(config, scenario, data)
    data = tokenize(data, tokenizer, scenario, config.model, seed=seed, cache=models.tokens_cache())
    assert data.tokens is not None
    mixtures = corner_mixtures(config, scenario, data)
    rendered = [[data.tokens.rendered(row) for row in mixture.rows] for mixture in mixtures]
    tokens = [sum(len(row.token_ids) for row in rows) for rows in rendered]
    learned = sum(len(row.token_ids) - row.prompt_length for rows in rendered for row in rows) / sum(tokens)
    train, cluster = config.train, settled(config, this_machine()).cluster
    global_batch = train.micro_batch_size * train.gradient_accumulation * cluster.worker_count
    precision = choose_precision(train).precision
    expected = config.search.trials * sum(tokens) / len(tokens) * expected_share(config)
    sizes = model_sizes(config)
    work = planned_flops(config, sizes)
    peak = peak_flops(precision, default_device())
    return Plan(
        trials=config.search.trials,
        steps=max(batches.steps_in(len(mixture.rows), global_batch) for mixture in mixtures),
        tokens=(min(tokens), max(tokens)),
        expected_tokens=expected,
        parameters=sizes.parameters,
        precision=precision,
        memory_gib=training_gib(config, sizes, precision, activation_checkpointing=config.train.activation_checkpointing is True),
        peak_flops=peak,
        hours=expected * (work.a_token + learned * work.a_learned_token) / (peak * UTILISATION) / 3600,
    )


def _without_training(config: SweepConfig, scenario: Scenario, data: PreparedData) -> Plan:
    sizes, precision = model_sizes(config), choose_precision(config.train).precision
    return Plan(
        trials=config.search.trials,
        steps=0,
        tokens=(0, 0),
        expected_tokens=0.0,
        parameters=sizes.parameters,
        precision=precision,
        memory_gib=weights_gib(sizes, precision),
        peak_flops=0.0,
        hours=0.0,
        adapter=config.model.adapter or "",
        answers=len(evaluation_rows(scenario, data.dev, rows=config.evaluation.dev_rows, seed=config.search.seed)),
        longest_answer=max([config.evaluation.max_new_tokens, *_ends(config, MAX_NEW_TOKENS)]),
    )


def _ends(config: SweepConfig, key: str) -> tuple[int, ...]:
    spec = config.search.parameters.get(key)
    if spec is None:
        return ()
    return tuple(int(value) for value in ends(spec))


def describe(plan: Plan) -> str:
    """The plan in a few lines of plain text."""
    return _describe_answers(plan) if plan.adapter else _describe_training(plan)


def _describe_answers(plan: Plan) -> str:
    missing = "" if Path(plan.adapter, models.COMPLETE).exists() else " (not there yet)"
    return "\n".join(
        [
            f"trials           {plan.trials}, without training",
            f"adapter          {plan.adapter}{missing}",
            f"answers a trial  {plan.answers} of at most {plan.longest_answer} tokens; base gives as many once",
            f"model            {plan.parameters / 1e6:,.0f} M parameters, {plan.precision}",
            f"memory a worker  {plan.memory_gib:.1f} GiB of weights; keys and values come on top, for each beam",
            "time             that of the answers; beams and long answers take the most",
        ]
    )


def _describe_training(plan: Plan) -> str:
    low, high = plan.tokens
    return "\n".join(
        [
            f"trials           {plan.trials}, up to {plan.steps} steps each",
            f"tokens a trial   {low:,} to {high:,}" if low != high else f"tokens a trial   {low:,}",
            f"tokens in all    about {plan.expected_tokens:,.0f} with early stopping as halving would have it",
            f"model            {plan.parameters / 1e6:,.0f} M parameters, {plan.precision}",
            f"memory a worker  about {plan.memory_gib:.1f} GiB (estimate)",
            f"time             about {plan.hours * 60:,.0f} minutes of one worker on this machine, without evaluation (estimate: "
            f"{UTILISATION:.0%} of {plan.peak_flops / 1e9:,.0f} GFLOP/s, which its matrix products were measured at)",
        ]
    )
