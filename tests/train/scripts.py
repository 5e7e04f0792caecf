"""What the warm workers of `stages` go through, trial after trial."""

from __future__ import annotations

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

NOT_A_NUMBER = {"train.learning_rate": 1e37, "train.max_grad_norm": 1e30}
POINT = {"lora.rank": 4, "lora.dropout": 0.1, "mixture.generic_fraction": 0.25}
OTHER = {"lora.rank": 8, "mixture.generic_fraction": 0.75, "train.activation_checkpointing": True, "train.learning_rate": 1e-2}


def both_rungs(trial: str, values: dict[str, Any]) -> list[Step]:
    return [Step(trial, values, 0), Step(trial, values, 1)]


def switching(point: dict[str, Any], other: dict[str, Any]) -> list[Step]:
    """One point on a fresh lane, after a trial that was stopped early, and after one whose loss was not a number."""
    return [
        *both_rungs("fresh", point),
        Step("stopped_early", other, 0),
        *both_rungs("after_stop", point),
        Step("broken", {**other, **NOT_A_NUMBER}, 1),
        *both_rungs("after_break", point),
    ]


LORA_SWITCHING = switching(POINT, OTHER)
FULL_POINT = {"train.learning_rate": 1e-3, "mixture.generic_fraction": 0.25}
FULL_SWITCHING = switching(FULL_POINT, {"mixture.generic_fraction": 0.75})
OUT_OF_MEMORY = [*both_rungs("fresh", POINT), Step("large", {"lora.rank": TOO_LARGE}, 0), *both_rungs("after_break", POINT)]
