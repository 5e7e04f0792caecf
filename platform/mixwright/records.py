"""Frozen records that cross stages, and their JSON form.

What comes in: nothing of ours; this module stands on the ground floor. What goes out: the types that readers, training,
evaluation, serving and the report hand to one another, so that a stage can be replaced by anything that reads and
writes these records.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import os
import time
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from mixwright.errors import DataError, RunError

logger = logging.getLogger(__name__)

STORE_PATIENCE_S = 120.0
"""How long a store may be away before what has to be written there ends the sweep."""

GENERIC = "generic"
"""The task name of generic instructions; a scenario cannot use it for a task of its own."""

BASE = "base"
COPY = "copy"
HUMAN = "human"
"""Systems that stand in every table beside the tuned ones: the model as it is, the input handed back, and, where rows have several
references, each reference scored against the others (against one reference fewer than the systems, which costs it points)."""

MetricName = Literal["errant_f0.5", "gleu", "sari", "exact_match"]
METRIC_NAMES: tuple[str, ...] = typing.get_args(MetricName)

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = typing.get_args(Split)
"""train is learned, dev steers the search, test is read once, for the final table."""

TrialStatus = Literal["complete", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class Example:
    """One instruction-following row of the data, before an instruction is bound to it and before rendering."""

    id: str
    """Stable and unique within a run: `<source>:<row>`; orders and seeds hang on it, so it must not change between runs."""
    source: str
    """Name of the data source that it came from."""
    task: str
    """A task of the scenario, or `generic`."""
    text: str
    """The text to work on; may be empty for generic rows."""
    references: tuple[str, ...]
    """Acceptable answers, at least one; the first is the one that is learned."""
    instruction: str = ""
    """Generic rows bring their own; scenario rows leave it empty and get one of the scenario's wordings."""
    group: str = ""
    """Document or source that the row belongs to; rows of one group never stand on both sides of a split. Empty: alone."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What one system answered for one evaluation row."""

    example_id: str
    task: str
    system: str
    """`base`, `copy`, or an adapter's name."""
    instruction: str
    text: str
    output: str
    references: tuple[str, ...]
    decoding: dict[str, Any] = field(default_factory=dict)
    """How the output was decoded: strategy, max_new_tokens and what the strategy reads; empty for copy and human."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One metric of one system on one task. All metrics stand on a scale of 0 to 100."""

    task: str
    metric: str
    system: str
    value: float
    n: int
    """Rows scored."""
    low: float
    high: float
    """Ends of the 95 % bootstrap interval over rows; both equal `value` where n is 1."""
    split: Split = "test"
    seen: bool = True
    """False where the task was held out of training."""
    details: dict[str, float] = field(default_factory=dict)
    """Beside the value, 0 to 100: precision, recall and over_correction for errant_f0.5; add, keep and delete for sari.
    over_correction, the share of rows that needed no edit and got one, is left out where every row needed one."""
    error_types: dict[str, dict[str, int]] = field(default_factory=dict)
    """errant_f0.5: ERRANT's type -> tp, fp and fn; empty for other metrics and for human."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """System minus base on the same rows, with its paired 95 % bootstrap interval. Scale as in Score."""

    task: str
    """A task, or `mean of seen` / `mean of unseen`."""
    system: str
    value: float
    low: float
    high: float
    n: int
    p_value: float | None = None
    """Two-sided, by approximate randomisation; None where it was not asked for."""
    p_corrected: float | None = None
    """`p_value` after Holm's correction over the tasks of the table, or over its means."""
    detectable: float | None = None
    """Smallest difference, in points, that these rows show with 80 % power; None where none can be stated (too few rows, or
    systems that do not differ on any)."""


@dataclass(frozen=True, kw_only=True)
class PowerRecord:
    """Whether the rows behind one difference can show what would matter."""

    task: str
    """As in Difference."""
    n: int
    detectable: float | None
    """As in Difference."""
    interesting: float
    """The smallest difference that would matter, in points, as the configuration has it."""
    rows_needed: int | None
    """Rows that would show a difference of `interesting` points with 80 % power; for a mean, of all its tasks together."""
    underpowered: bool
    """These rows cannot show a difference of `interesting` points: that none is seen does not say that there is none."""


@dataclass(frozen=True, kw_only=True)
class Objectives:
    """What a trial is judged by; higher is better in each."""

    seen: float
    """Mean metric over the trained tasks, 0 to 100."""
    unseen: float | None
    """Mean metric over the held-out tasks, 0 to 100; None where the scenario holds out none."""
    retention: float
    """Response NLL of the base model minus that of the tuned one on held-out generic rows, nats a token; 0: nothing lost."""


@dataclass(frozen=True, kw_only=True)
class RungRecord:
    """A trial's state at one evaluation during training."""

    step: int
    examples: int
    tokens: int
    """Tokens that went through the model in training so far, padding left out."""
    train_loss: float | None
    """Mean response loss since the last rung, nats a token; None where nothing was trained."""
    objectives: Objectives
    task_scores: dict[str, float]
    seconds: float
    """Wall-clock seconds in training and evaluation so far."""
    standard_errors: Objectives | None = None
    """Of the objectives, from the choice of evaluation rows, by bootstrap; None where it was not measured."""


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial, as it stands in `trials.jsonl`."""

    trial_id: str
    number: int
    """Order of suggestion, from 0."""
    status: TrialStatus
    """complete: ran its whole budget; stopped: the scheduler ended it early; failed: see `cause`."""
    params: dict[str, Any]
    """The searched keys and their values, dotted."""
    rungs: tuple[RungRecord, ...]
    counts: dict[str, int] = field(default_factory=dict)
    """Training examples of the whole budget, by task."""
    distinct: dict[str, int] = field(default_factory=dict)
    """Different rows among them."""
    noised: dict[str, int] = field(default_factory=dict)
    """Those of `counts` that had another row's response (`mixture.noise`); empty without noise."""
    cause: str = ""
    adapter: str = ""
    """Folder of the adapter, relative to the run folder; absolute where an existing one was taken, empty where none was saved."""
    decoding: dict[str, Any] = field(default_factory=dict)
    """How its dev answers were decoded, as in Prediction."""
    confirms: str = ""
    """Id of the trial whose point this one repeats with a fresh seed, after the search; empty for a trial of the search itself."""
    switch_seconds: float | None = None
    """From the decision that ended the trial before it on the same workers to the end of its own first optimiser step; None
    where it was the first there, or took no step."""


@dataclass(frozen=True, kw_only=True)
class SystemRecord:
    """One row group of the final table: a system and its scores."""

    name: str
    scores: tuple[Score, ...]
    differences: tuple[Difference, ...] = ()
    """Against base, on the same rows; empty for base itself."""
    power: tuple[PowerRecord, ...] = ()
    """One for each of `differences`."""
    retention: float | None = None
    trial_id: str = ""
    decoding: dict[str, Any] = field(default_factory=dict)
    """How its answers were decoded, as in Prediction; empty for copy and human."""
    usage: dict[str, float] = field(default_factory=dict)
    """What an outside endpoint counted: requests, prompt_tokens, completion_tokens, and usd where prices are known; and how many
    answers were truncated, refused, filtered or empty, where any were."""


@dataclass(frozen=True, kw_only=True)
class Location:
    """Where something lies along one searched key: an interval of a number, or choices of a category."""

    key: str
    low: Any = None
    high: Any = None
    """Both None for a category."""
    choices: dict[str, float] = field(default_factory=dict)
    """Of a category: choice -> probability; empty for a number."""
    is_whole: bool = False
    """All that was searched of this key."""
    at_low_end: bool = False
    at_high_end: bool = False
    """The interval reaches this end of what was searched."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A score as a surface predicts it, and the interval that holds it with 90 % probability."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """The highest point of a response surface. Intervals hold the truth with 90 % probability."""

    params: dict[str, Any]
    value: float
    """Predicted score at `params`, freed from the noise of a trial."""
    low: float
    high: float
    """Interval of that score."""
    highest: float
    """No point of the space scores higher, with 95 % probability."""
    locations: tuple[Location, ...]
    """Where the highest score may be, key by key."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """Points that are as good as anything tried: no more than `margin` worse with 90 % probability."""

    margin: float
    locations: tuple[Location, ...]
    """A box around the optimum all of which is in the region; empty where not even the optimum is known to be."""
    share: float
    """Of the searched space: known to be as good."""
    worse_share: float
    """Of the searched space: known to be worse by more than the margin. The rest is undecided."""


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Share of the surface's variance over the space that hangs on this key, alone or with others: its total Sobol index."""

    key: str
    share: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class NextTrial:
    """The point whose trial is expected to teach most."""

    params: dict[str, Any]
    gain: float
    """What it is expected to add to the recommended point's score."""


@dataclass(frozen=True, kw_only=True)
class SurfaceGrid:
    """The surface over one or two keys; the others stand at the recommended point."""

    x_key: str
    x: tuple[Any, ...]
    y_key: str
    """Empty where one key was searched; `y` is, too, and the tables have one row."""
    y: tuple[Any, ...]
    mean: tuple[tuple[float, ...], ...]
    """[y][x]"""
    deviation: tuple[tuple[float, ...], ...]
    """Standard deviations."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveAnswer:
    """What the finished trials say about one objective."""

    objective: str
    trials: int
    """Complete ones that it was fitted to."""
    noise: float
    """Standard deviation of one trial's score around the surface, rows and seed together."""
    seed_noise: float
    expected: Estimate
    """At the point that the answer recommends."""
    optimum: Optimum
    region: Region
    importances: tuple[Importance, ...]
    """The greatest first."""
    next_trial: NextTrial
    grid: SurfaceGrid | None
    sentences: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a search says, for a team that has to choose a mix."""

    sentences: tuple[str, ...]
    recommended: dict[str, Any]
    """Highest predicted `seen` that keeps the limits by prediction; empty where too few trials are there to predict from."""
    objectives: tuple[ObjectiveAnswer, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The content of `result.json`."""

    name: str
    question: str
    status: Literal["complete", "searched"]
    """searched: the search has ended, the final evaluation has not."""
    best: dict[str, Any]
    """trial_id, params, objectives and decoding (dev), adapter, reason (why this one), and finally `seen_difference`."""
    pareto: tuple[dict[str, Any], ...]
    systems: tuple[SystemRecord, ...]
    base_dev: dict[str, Any]
    """The base model's own rung-like evaluation on dev: objectives, task_scores and decoding."""
    environment: dict[str, Any]
    cost: dict[str, Any]
    """Seconds by stage, trials by status, training tokens."""
    data: dict[str, Any]
    """Counts by source, task and split, and what the leak guard dropped."""
    hypervolume: dict[str, Any] = field(default_factory=dict)
    """Of the front: its objectives, and by reference point (base, base_less_limits) the point and the volume above it."""
    answer: Answer | None = None
    """What the trials say by a response surface; None in records of sweeps that had none yet."""


R = TypeVar("R")


def to_json(record: Any) -> Any:
    """A record as plain values that JSON takes."""
    return dataclasses.asdict(record)


def from_json(kind: type[R], value: dict[str, Any]) -> R:
    """The record that `to_json` wrote.

    Raises:
        DataError: a field is missing or unknown.
    """
    hints = _hints(kind)  # type: ignore[arg-type]
    if unknown := sorted(set(value) - hints.keys()):
        raise DataError(f"{kind.__name__}: unknown fields {', '.join(unknown)}; the file was written by another version")
    try:
        return kind(**{name: _revive(hints[name], item) for name, item in value.items()})
    except TypeError as error:
        raise DataError(f"{kind.__name__}: {error}; the file was written by another version") from error


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    """Field -> type. Working it out takes longer than filling the record, and a long run has thousands."""
    hints = typing.get_type_hints(kind)
    return {item.name: hints[item.name] for item in dataclasses.fields(kind)}


def _revive(hint: Any, value: Any) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return from_json(hint, value)  # type: ignore[arg-type]
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_revive(args[0], item) for item in value)
    if origin in (types.UnionType, typing.Union) and value is not None:
        return _revive(next(arg for arg in args if arg is not type(None)), value)
    return value


def write_jsonl(path: Path, records: Iterable[Any]) -> None:
    """Writes one record a line, under a temporary name first, so that a reader never sees half a file."""
    write_text(path, "".join(json.dumps(to_json(record), ensure_ascii=False) + "\n" for record in records))


def read_jsonl(path: Path, kind: type[R]) -> list[R]:
    """Reads what `write_jsonl` wrote.

    Raises:
        DataError: the file is missing, or a line is not such a record (its number is named).
    """
    return list(_jsonl_records(path, kind))


def _jsonl_records(path: Path, kind: type[R]) -> Iterator[R]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            yield from_json(kind, json.loads(line))
        except (json.JSONDecodeError, DataError) as error:
            raise DataError(f"{path}:{number}: not a {kind.__name__}: {error}") from error


def append_line(path: Path, line: str) -> None:
    """Appends a line, whole or not at all. A disk that is full costs the line, which is said, and nothing more."""
    try:
        append_whole_line(path, line)
    except OSError as error:
        logger.warning("%s: a line could not be written: %s", path, error.strerror)


def append_whole_line(path: Path, line: str, *, flush: bool = False) -> None:
    """Appends a line whole, or raises and leaves the file as it was.

    Args:
        flush: to disk, for what must not get lost.
    """
    data = (line + "\n").encode()
    with path.open("ab", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            while data:
                data = data[file.write(data) :]
            if flush:
                os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                os.ftruncate(file.fileno(), size)
            raise


def patiently(attempt: Callable[[], R], where: Path) -> R:
    """What `attempt` gives; while the file system refuses it, it is tried again, for `STORE_PATIENCE_S`.

    Raises:
        RunError: it refused for too long.
    """
    started, pause = time.monotonic(), 0.5
    while True:
        try:
            return attempt()
        except OSError as error:
            gone = time.monotonic() - started
            if gone > STORE_PATIENCE_S:
                raise RunError(
                    f"{where}: the store has refused for {gone:.0f} s ({error.strerror}); what was written before is kept: "
                    "go on with --resume once it answers"
                ) from error
            logger.warning("%s: the store refuses (%s); trying again in %.1f s", where, error.strerror, pause)
            time.sleep(pause)
            pause = min(2 * pause, 10.0)


def write_text(path: Path, text: str) -> None:
    """Writes a whole file or nothing: a temporary neighbour, flushed to disk, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
