"""What the warm workers of `stages` go through, trial after trial."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed_trials import TOO_LARGE, Step

RANK_4, RANK_8 = {"lora.rank": 4}, {"lora.rank": 8}
SCRIPT = [
    Step("trial_0000", RANK_4, 0),
    Step("trial_0000", RANK_4, 1),
    Step("trial_0001", RANK_8, 0),
    Step("trial_0001", RANK_8, 1),
]
SWITCHED_AND_RESUMED = [Step("trial_0002", RANK_4, 0), Step("trial_0002", RANK_4, 1, leave_first=True)]

POINT = {"lora.rank": 4, "lora.dropout": 0.1, "mixture.generic_fraction": 0.25}
OTHER = {"lora.rank": 8, "mixture.generic_fraction": 0.75, "train.activation_checkpointing": True, "train.learning_rate": 1e-2}


def both_rungs(trial: str, values: dict[str, Any]) -> list[Step]:
    return [Step(trial, values, 0), Step(trial, values, 1)]


def switching(point: dict[str, Any], other: dict[str, Any], *, breaks_at: float = 1e30) -> list[Step]:
    """One point on a fresh lane, after a trial that was stopped early, and after one whose loss was not a number.

    Args:
        breaks_at: a learning rate that makes it so; one too high gives zeros instead, behind a norm over infinities.
    """
    return [
        *both_rungs("fresh", point),
        Step("stopped_early", other, 0),
        *both_rungs("after_stop", point),
        Step("broken", {**other, "train.learning_rate": breaks_at, "train.max_grad_norm": 1e30}, 1),
        *both_rungs("after_break", point),
    ]


LORA_SWITCHING = switching(POINT, OTHER)
FULL_POINT = {"train.learning_rate": 1e-3, "mixture.generic_fraction": 0.25}
FULL_SWITCHING = switching(FULL_POINT, {"mixture.generic_fraction": 0.75}, breaks_at=1e13)


def methods(other: Path) -> list[Step]:
    """Adapters, whole models and another base model on one lane, each of them fresh and after the others."""
    adapter, whole = {**POINT, "model.tuning": "lora"}, {**FULL_POINT, "model.tuning": "full"}
    elsewhere = {"model.name": str(other)}
    return [
        *both_rungs("adapter", adapter),
        *both_rungs("whole", whole),
        *both_rungs("adapter_after_whole", adapter),
        *both_rungs("other_adapter", {**adapter, **elsewhere}),
        *both_rungs("other_whole", {**whole, **elsewhere}),
        *both_rungs("whole_after_other", whole),
        *both_rungs("adapter_after_other", adapter),
    ]


OUT_OF_MEMORY = [*both_rungs("fresh", POINT), Step("large", {"lora.rank": TOO_LARGE}, 0), *both_rungs("after_break", POINT)]


@dataclass(frozen=True)
class Stage:
    """What two workers did under one ZeRO stage: folder and records of each lane."""

    lora: tuple[Path, list[Any]]
    switched: tuple[Path, list[Any]]
    full: tuple[Path, list[Any]]
    methods: tuple[Path, list[Any]]
