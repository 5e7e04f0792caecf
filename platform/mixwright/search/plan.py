"""What a sweep would take, before anything is launched.

What comes in: a configuration and its scenario. What goes out: a `Plan` of trials, rows, tokens, memory and time. Counts and
tokens are exact for the ends of the searched fractions. Speed is measured in a few real steps and an evaluation where that is asked
for, else given, else an estimate from a measured matrix product; the plan says which. Memory is measured with speed, else it
follows from the model's own sizes. Where nothing is trained, the plan counts answers.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixwright import models
from mixwright.config import MAX_NEW_TOKENS, SimplexSpec, SweepConfig, ends
from mixwright.data.prepare import PreparedData, prepare, tokenize
from mixwright.data.tokens import RowName
from mixwright.errors import ConfigError, MixtureError
from mixwright.evaluate.runner import evaluation_rows
from mixwright.mixture import Mixture, RankedPools
from mixwright.scenarios import Scenario
from mixwright.search import probe
from mixwright.search.resources import lane_count, settled, this_machine
from mixwright.search.sweep import expected_share
from mixwright.search_config import Spec
from mixwright.search_points import vertices
from mixwright.train import batches
from mixwright.train.flops import UTILISATION
from mixwright.train.hardware import peak_flops
from mixwright.train.precision import choose_precision, default_device
from mixwright.train.sizes import heaviest, model_sizes, planned_flops, training_gib, weights_gib


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
    trial_hours: float
    """All trials one after another: training and, where it was measured, evaluations and switches."""
    hours: float
    """Of wall time: the trials side by side and, where it was measured, the lanes' start and the final evaluation."""
    confirming: int = 0
    """Trials beyond those, which train the best points again."""
    workers: int = 1
    """Of one trial."""
    lanes: int = 1
    gpus: int = 0
    """Of one worker."""
    price_per_worker_hour: float | None = None
    speed_is: str = ""
    """Where it comes from."""
    evaluation_hours: float = 0.0
    """Within `trial_hours`; 0 where it was not measured."""
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


def corner_mixtures(config: SweepConfig, scenario: Scenario, data: PreparedData) -> list[Mixture[RowName]]:
    """The mixtures of tokenised data at the corners of the searched space; what fits there fits in between.

    Raises:
        MixtureError: a corner asks for more than the data holds; the message names the corner.
    """
    assert data.tokens is not None, "rows are tokenised before they are mixed"
    pools = RankedPools(data.tokens.names(), data.tokens.token_count, data.tokens)
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


def make(config: SweepConfig, scenario: Scenario, *, measured: bool = False) -> Plan:
    """Reads and tokenises the data and mixes the corners; launches nothing.

    Args:
        measured: take a few steps and an evaluation with this machine's own speed, in a process that ends with the plan.
    """
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
    config = settled(config, this_machine())
    train, cluster = config.train, config.cluster
    global_batch = train.micro_batch_size * train.gradient_accumulation * cluster.worker_count
    precision = choose_precision(train).precision
    whole_trials = config.search.trials * expected_share(config) + config.search.confirm.trials
    expected = whole_trials * sum(tokens) / len(tokens)
    config = heaviest(config)
    sizes = model_sizes(config)
    work = planned_flops(config, sizes)
    peak = peak_flops(precision, default_device())
    speed = probe.measure(config, scenario, data) if measured else None
    estimate = peak * UTILISATION / (work.a_token + learned * work.a_learned_token) * cluster.worker_count
    time = _time(config, expected, speed, cluster.tokens_per_second or estimate)
    return Plan(
        trials=config.search.trials,
        confirming=config.search.confirm.trials,
        steps=max(batches.steps_in(len(mixture.rows), global_batch) for mixture in mixtures),
        tokens=(min(tokens), max(tokens)),
        expected_tokens=expected,
        parameters=sizes.parameters,
        precision=precision,
        memory_gib=speed.memory_gib
        if speed
        else training_gib(config, sizes, precision, activation_checkpointing=config.train.activation_checkpointing is True),
        peak_flops=peak,
        trial_hours=time.trials_s / 3600,
        hours=time.wall_s / 3600,
        evaluation_hours=time.evaluations_s / 3600,
        workers=cluster.worker_count,
        lanes=lane_count(config),
        gpus=cluster.gpus_each,
        price_per_worker_hour=cluster.price_per_worker_hour,
        speed_is=_speed_is(config, speed, peak),
    )


@dataclass(frozen=True, kw_only=True)
class _Time:
    """Seconds of a sweep."""

    trials_s: float
    evaluations_s: float
    wall_s: float


def _time(config: SweepConfig, tokens: float, speed: probe.Speed | None, tokens_per_second: float) -> _Time:
    """Several workers are taken to share a trial's work without loss, and lanes not to slow one another down."""
    if speed is None:
        training_s = tokens / tokens_per_second
        return _Time(trials_s=training_s, evaluations_s=0.0, wall_s=training_s / lane_count(config))
    workers, searched, confirming = config.cluster.worker_count, config.search.trials, config.search.confirm.trials
    evaluations = searched * expected_evaluations(config) + confirming * len(config.search.scheduler.rungs)
    evaluation_s = speed.evaluation_s / (1 if config.train.zero_stage == 3 else workers)  # at ZeRO 3 each worker takes every row
    evaluations_s = evaluations * evaluation_s
    trials_s = tokens / (speed.tokens_per_second * workers) + evaluations_s + (searched + confirming) * speed.switch_s
    final_s = 2 * evaluation_s * config.evaluation.test_rows / config.evaluation.dev_rows
    return _Time(trials_s=trials_s, evaluations_s=evaluations_s, wall_s=speed.start_s + trials_s / lane_count(config) + final_s)


def expected_evaluations(config: SweepConfig) -> float:
    """Rungs that a trial reaches on average when each lets one in `reduction_factor` go on."""
    settings = config.search.scheduler
    factor = 1.0 if settings.kind == "none" else settings.reduction_factor
    return sum(1 / factor**rung for rung in range(len(settings.rungs)))


def _speed_is(config: SweepConfig, speed: probe.Speed | None, peak: float) -> str:
    if speed:
        pace = f"{speed.tokens_per_second:,.0f} tokens/s of a worker over {speed.steps} steps"
        return f"measured: {pace}, {speed.evaluation_s:.1f} s an evaluation"
    if config.cluster.tokens_per_second:
        return f"given: {config.cluster.tokens_per_second:,.0f} tokens/s; without evaluation, which --measure adds"
    return (
        f"estimated: {UTILISATION:.0%} of {peak / 1e9:,.0f} GFLOP/s, which this machine's matrix products were measured at; "
        "without evaluation, which --measure adds"
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
        trial_hours=0.0,
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
            f"trials           {plan.trials}, up to {plan.steps} steps each"
            + (f"; {plan.confirming} more of the whole budget, to confirm the best" if plan.confirming else ""),
            f"tokens a trial   {low:,} to {high:,}" if low != high else f"tokens a trial   {low:,}",
            f"tokens in all    about {plan.expected_tokens:,.0f} with early stopping as halving would have it",
            f"model            {plan.parameters / 1e6:,.0f} M parameters, {plan.precision}",
            f"memory a worker  about {plan.memory_gib:.1f} GiB",
            f"time             about {_duration(plan.hours)}, {plan.lanes} trials side by side" + _share_of_evaluation(plan),
            f"work             {_work(plan)}",
            *([] if plan.price_per_worker_hour is None else [f"money            {_money(plan, plan.price_per_worker_hour):,.2f}"]),
            f"speed            {plan.speed_is}",
        ]
    )


def _duration(hours: float) -> str:
    return f"{hours:,.1f} hours" if hours >= 2 else f"{hours * 60:,.1f} minutes"


def _share_of_evaluation(plan: Plan) -> str:
    return f"; {plan.evaluation_hours / plan.trial_hours:.0%} of a trial is evaluation" if plan.evaluation_hours else ""


def _work(plan: Plan) -> str:
    each = plan.gpus or 1
    return f"{plan.trial_hours * plan.workers * each:,.2f} {'GPU' if plan.gpus else 'worker'}-hours, {plan.workers} workers a trial"


def _money(plan: Plan, price: float) -> float:
    """All workers of all lanes for as long as the sweep takes: they are held, busy or not."""
    return plan.hours * plan.lanes * plan.workers * price
