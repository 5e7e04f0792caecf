"""The answer to the run's question, in sentences that claim no more than the intervals allow.

What comes in: a RunFolder. What goes out: a headline, four facts (mix, seen tasks, unseen tasks, what was kept), and caveats
that an engineer would ask about: tasks where copying does as well, a best trial at the edge of its range, failed trials.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mixwright.config import ends
from mixwright.records import Difference
from mixwright.report import readings, wording
from mixwright.report.readings import Tone
from mixwright.report.run_folder import RunFolder, best_system
from mixwright.report.table import MEAN_OF_SEEN, MEAN_OF_UNSEEN, TableRow, table_rows
from mixwright.search_config import OBJECTIVES

_TONES: dict[wording.Outcome, Tone] = {"better": "good", "worse": "bad", "no difference shown": "even", "no interval": "even"}


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One tile of the verdict."""

    label: str
    value: str
    """The figure, or the word, that is read first."""
    detail: str
    tone: Tone


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the run showed."""

    headline: str
    summary: str
    facts: tuple[Fact, ...]
    caveats: tuple[str, ...]


def verdict(folder: RunFolder) -> Verdict:
    """The verdict of a run, whatever stage it reached, or of an evaluation."""
    trial = folder.best_trial
    if folder.kind == "evaluation":
        return _of_evaluation(folder)
    if not folder.run.best:
        return Verdict(
            headline="No trial finished, so there is no best mix.",
            summary="The causes stand in the table of trials.",
            facts=(),
            caveats=tuple(_caveats(folder, ())),
        )
    params = trial.params if trial else folder.run.best.get("params", {})
    rows = table_rows(folder.run)
    mix = wording.mix_phrase(params) or configured_mix(folder)
    subject = f"{'Best' if params else 'One fine-tune'}: {mix}."
    return Verdict(
        headline=_headline(subject, _group_difference(rows, seen=True)),
        summary=_summary(folder, rows),
        facts=tuple(_facts(folder, rows, mix)),
        caveats=tuple(_caveats(folder, rows)),
    )


def configured_mix(folder: RunFolder) -> str:
    """The mix of a run that searched nothing, from its configuration."""
    if folder.config is None:
        return "the configured mix"
    if folder.config.model.tuning == "none":
        return "an existing adapter"
    params: dict[str, Any] = {wording.GENERIC_FRACTION: folder.config.mixture.generic_fraction}
    if folder.config.model.tuning == "lora":
        params[wording.LORA_RANK] = folder.config.lora.rank
    return wording.mix_phrase(params)


def _of_evaluation(folder: RunFolder) -> Verdict:
    """What systems that were asked by themselves showed; nothing is said of a search."""
    rows, lead = table_rows(folder.run), best_system(folder.run)
    name = wording.system_label(lead.name) if lead else ""
    difference = _group_difference(rows, seen=True)
    if lead is None or difference is None:
        asked = wording.listed([wording.system_label(system.name) for system in folder.run.systems])
        headline = f"{asked}: scores on {folder.split} rows, and no difference to base."
    else:
        headline = _headline(f"{name}.", difference)
    return Verdict(
        headline=headline,
        summary=_summary(folder, rows) if lead and rows else "",
        facts=(*_difference_facts(rows), *_retention_fact(folder)) if difference else (),
        caveats=tuple(_caveats(folder, rows)),
    )


def _headline(subject: str, seen: Difference | None) -> str:
    result = wording.outcome(seen)
    if seen is None:
        return f"{subject} Its final evaluation has not run yet."
    size = wording.number(abs(seen.value))
    spread = f"95 % interval {wording.interval(seen.low, seen.high)}"
    if result == "no interval":
        return f"{subject} Seen tasks: {wording.signed(seen.value)} points against the base model, without an interval."
    if result == "no difference shown":
        return f"{subject} On the seen tasks no difference to the base model is shown ({spread})."
    return f"{subject} On the seen tasks it is {size} points {result} than the base model ({spread})."


def _summary(folder: RunFolder, rows: tuple[TableRow, ...]) -> str:
    if not rows:
        limits = _limits_sentence(folder)
        return f"The final evaluation has not run: figures below are of the dev rows that steered the search. {limits}".strip()
    return " ".join(part for part in (_seen_by_task(rows), _unseen_sentence(rows), _limits_sentence(folder)) if part)


def _seen_by_task(rows: tuple[TableRow, ...]) -> str:
    seen = [row for row in rows if row.seen and not row.is_mean]
    if len(seen) < 2:
        return ""
    found = [row.reading(row.lead) or readings.NO_INTERVAL for row in seen]
    kinds = [kind for kind in readings.met(found) if kind is not readings.NO_INTERVAL]
    parts = [f"{kind.words} on {found.count(kind)}" for kind in kinds]
    return f"Of {wording.plural(len(seen), 'seen task')}: {'; '.join(parts)}." if parts else ""


def _unseen_sentence(rows: tuple[TableRow, ...]) -> str:
    names = wording.listed([wording.task_label(row.task) for row in rows if not row.seen and not row.is_mean])
    difference = _group_difference(rows, seen=False)
    if not names:
        return "No task was held out."
    if difference is None:
        return f"On {names}, never trained, no difference was computed."
    size = f"{wording.signed(difference.value)} ({wording.interval(difference.low, difference.high)})"
    return f"On {names}, never trained: {wording.outcome(difference)}, {size}."


def _limits_sentence(folder: RunFolder) -> str:
    kept = keeps_limits(folder, folder.run.best.get("objectives"))
    if kept is None or folder.config is None:
        return ""
    limits = folder.config.search.objective
    rule = f"at most {limits.unseen_text} of unseen and {limits.retention_text} of retention lost on dev"
    return f"The limits on forgetting {'held' if kept else 'did not hold'}: {rule}."


def keeps_limits(folder: RunFolder, objectives: dict[str, Any] | None) -> bool | None:
    """Whether dev objectives keep what was never trained within the configured limits; None where that cannot be told."""
    base = folder.run.base_dev.get("objectives")
    if folder.config is None or not objectives or not base:
        return None
    found = {name: wording.finite(objectives.get(name)) for name in OBJECTIVES}
    of_base = {name: wording.finite(base.get(name)) for name in OBJECTIVES}
    excess = folder.config.search.objective.excess(found, of_base, wording.finite(folder.run.base_dev.get("generic_loss")))
    return all(value <= 0 for value in excess.values())


def _group_difference(rows: tuple[TableRow, ...], *, seen: bool) -> Difference | None:
    """The difference of the mean row of seen or unseen tasks, or of the only task of that kind."""
    group = [row for row in rows if row.seen == seen]
    name = MEAN_OF_SEEN if seen else MEAN_OF_UNSEEN
    mean = next((row for row in group if row.task == name), None)
    if mean is not None:
        return mean.difference
    return group[0].difference if group else None


def _facts(folder: RunFolder, rows: tuple[TableRow, ...], mix: str) -> Iterator[Fact]:
    trial = folder.best_trial
    number = f"trial {trial.number} of {wording.plural(len(folder.trials), 'trial')}" if trial else "the best trial"
    reason = str(folder.run.best.get("reason", ""))
    yield Fact(label="Best mix", value=mix, detail=f"{number}{': ' if reason else ''}{reason}", tone="even")
    if rows:
        yield from _difference_facts(rows)
    else:
        yield from _dev_facts(folder)
    yield from _retention_fact(folder)


def _difference_facts(rows: tuple[TableRow, ...]) -> Iterator[Fact]:
    yield _difference_fact("Seen tasks", "points against base", _group_difference(rows, seen=True))
    if any(not row.seen for row in rows):
        yield _difference_fact("Unseen tasks", "points against base", _group_difference(rows, seen=False))


def _difference_fact(label: str, unit: str, difference: Difference | None) -> Fact:
    if difference is None:
        return Fact(label=label, value="–", detail="no difference was computed", tone="even")
    result = wording.outcome(difference)
    spread = f"95 % interval {wording.interval(difference.low, difference.high)}, n = {difference.n:,}"
    return Fact(
        label=label,
        value=f"{wording.signed(difference.value)} {unit}",
        detail=f"{result}; {spread}" if result != "no interval" else f"no interval, n = {difference.n:,}",
        tone=_TONES[result],
    )


def _dev_facts(folder: RunFolder) -> Iterator[Fact]:
    objectives, base = folder.run.best.get("objectives") or {}, folder.run.base_dev.get("objectives") or {}
    for key, label in (("seen", "Seen tasks"), ("unseen", "Unseen tasks")):
        value, of_base = wording.finite(objectives.get(key)), wording.finite(base.get(key))
        if value is not None:
            detail = f"base: {wording.number(of_base)}; dev rows, no interval"
            yield Fact(label=label, value=f"{wording.number(value)} on dev", detail=detail, tone="even")


def _retention_fact(folder: RunFolder) -> Iterator[Fact]:
    system = best_system(folder.run)
    on_test = wording.finite(system.retention) if system else None
    on_dev = wording.finite((folder.run.best.get("objectives") or {}).get("retention"))
    value = on_test if on_test is not None else on_dev
    if value is None:
        return
    of_base = wording.finite(folder.run.base_dev.get("generic_loss"))
    limit = folder.config.search.objective.retention_limit(of_base) if folder.config else None
    kept = limit is None or value >= -limit
    rows = "final evaluation" if on_test is not None else "dev rows"
    detail = "" if limit is None else f"{'within' if kept else 'beyond'} the limit of −{limit:.3g}; "
    yield Fact(
        label="Retention",
        value=f"{wording.signed(value, 3)} nats a token",
        detail=f"{detail}{rows}; 0: generic ability as in base",
        tone="even" if kept else "bad",
    )


def _caveats(folder: RunFolder, rows: tuple[TableRow, ...]) -> Iterator[str]:
    copied = [wording.task_label(row.task) for row in rows if row.copy_is_as_good and not row.is_mean]
    if copied:
        yield f"Handing the input back unchanged scores at least as high as the best adapter on {wording.listed(copied)}."
    yield from _doubts(rows)
    yield from _edges(folder)
    failed = [trial for trial in folder.trials if trial.status == "failed"]
    if failed:
        yield f"{wording.plural(len(failed), 'trial')} of {len(folder.trials)} failed; the causes stand in the table of trials."
    complete = [trial for trial in folder.trials if trial.status == "complete"]
    if len(folder.trials) > 1 and len(complete) < 3:
        yield f"Only {wording.plural(len(complete), 'trial')} ran the whole budget: a thin base for choosing a mix."


def _doubts(rows: tuple[TableRow, ...]) -> Iterator[str]:
    """Differences that would not survive being read together, and tasks whose rows could not have shown one."""
    found = [(row, row.reading(row.lead)) for row in rows]
    alone = [wording.task_label(row.task) for row, reading in found if reading in (readings.BETTER_ALONE, readings.WORSE_ALONE)]
    if alone:
        yield f"Shown by its own interval and not by the test after Holm's correction: {wording.listed(alone)}."
    disputed = [wording.task_label(row.task) for row, reading in found if reading is readings.TEST_ALONE]
    if disputed:
        yield f"Significant by the test, but with an interval that holds 0, so that nothing is claimed: {wording.listed(disputed)}."
    weak = [row for row, reading in found if reading is readings.UNDERPOWERED]
    if weak:
        names = wording.listed([wording.task_label(row.task) for row in weak])
        matters = next(f"{row.power.interesting:g}" for row in weak if row.power)
        yield f"Too few rows to show a difference of {matters} points, so that none seen says little: {names}."


def _edges(folder: RunFolder) -> Iterator[str]:
    trial = folder.best_trial
    if trial is None or folder.config is None:
        return
    for key, spec in folder.config.search.parameters.items():
        value = trial.params.get(key)
        values = ends(spec)
        if len(values) < 2 or not all(isinstance(item, int | float) and not isinstance(item, bool) for item in (value, *values)):
            continue
        side = "lowest" if value == min(values) else "highest" if value == max(values) else ""
        if side and not (key == wording.GENERIC_FRACTION and value in (0, 1)):
            shown = wording.key_value(key, value)
            yield f"The best {wording.key_label(key)}, {shown}, is the {side} searched; a wider range may hold a better one."
