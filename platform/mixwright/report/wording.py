"""Numbers and names as people read them, with one spelling for the whole report.

What comes in: values from records. What goes out: short strings with a true minus sign, plain units and no false precision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mixwright.records import BASE, COPY, GENERIC, HUMAN, Difference

Outcome = Literal["better", "worse", "no difference shown", "no interval"]

GENERIC_FRACTION = "mixture.generic_fraction"
LORA_RANK = "lora.rank"

_KEY_LABELS = {
    GENERIC_FRACTION: "generic fraction",
    LORA_RANK: "LoRA rank",
    "lora.alpha": "LoRA alpha",
    "lora.dropout": "LoRA dropout",
    "train.learning_rate": "learning rate",
    "mixture.size": "mixture size",
}
_SYSTEM_LABELS = {BASE: "Base", COPY: "Copy of input", HUMAN: "Human", "best": "Best adapter"}
_METRIC_LABELS = {"errant_f0.5": "ERRANT F0.5", "gleu": "GLEU", "sari": "SARI", "exact_match": "exact match"}


def finite(value: float | None) -> float | None:
    """The value, or None where it is missing, NaN or infinite."""
    return value if value is not None and math.isfinite(value) else None


def outcome(difference: Difference | None) -> Outcome:
    """What the interval of a difference allows to say; an interval that contains 0 shows no difference."""
    if difference is None or difference.n < 2 or finite(difference.low) is None or finite(difference.high) is None:
        return "no interval"
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "no difference shown"


def number(value: float | None, digits: int = 1) -> str:
    """`45.2`, with a true minus sign; a dash where there is no value."""
    if finite(value) is None:
        return "–"
    text = f"{value:,.{digits}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def signed(value: float | None, digits: int = 1) -> str:
    """`+15.1`, `−0.4`, and a plain `0.0` where it rounds to nothing."""
    text = number(value, digits)
    return text if value is None or text.startswith(("−", "–")) or not any(char in "123456789" for char in text) else f"+{text}"


def interval(low: float, high: float, digits: int = 1) -> str:
    return f"{signed(low, digits)} to {signed(high, digits)}"


def percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %".replace("-", "−")


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`, `2 h 04 min`."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def key_label(key: str) -> str:
    """A searched key in words: `learning rate` for `train.learning_rate`, `weight of fluency` for a task's weight."""
    if key.startswith("mixture.task_weights."):
        return f"weight of {task_label(key.rsplit('.', 1)[-1])}"
    return _KEY_LABELS.get(key, key.rsplit(".", 1)[-1].replace("_", " "))


def key_value(key: str, value: Any) -> str:
    """A searched value: fractions in percent, floats in three digits, the rest as written."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return percent(value) if key == GENERIC_FRACTION else f"{value:.3g}" if isinstance(value, float) else f"{value:,}"


def task_label(task: str) -> str:
    return "generic instructions" if task == GENERIC else task.replace("_", " ")


def metric_label(metric: str) -> str:
    return _METRIC_LABELS.get(metric, metric)


def mix_phrase(params: Mapping[str, Any]) -> str:
    """The mix and rank of a trial in words: `25 % generic data, LoRA rank 16, learning rate 0.0002`."""
    parts = []
    if GENERIC_FRACTION in params:
        parts.append(f"{percent(params[GENERIC_FRACTION])} generic data")
    if LORA_RANK in params:
        parts.append(f"LoRA rank {params[LORA_RANK]}")
    rest = [key for key in params if key not in (GENERIC_FRACTION, LORA_RANK)]
    return ", ".join(parts + [f"{key_label(key)} {key_value(key, params[key])}" for key in rest])


def system_label(name: str) -> str:
    """A system's heading: its own name, but for those that stand in every table."""
    return _SYSTEM_LABELS.get(name, name)
