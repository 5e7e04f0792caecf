"""What a configuration would take, held against `search.constraints` before it is trained.

What comes in: the values of a trial. What goes out: by constraint, how far it is overstepped. All of it follows from the model's
config.json and the configuration; nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mixwright.config import SweepConfig
from mixwright.train.sizes import ModelSizes, model_sizes, trainable_parameters, training_gib


class Limits:
    """The constraints of a sweep, and what they are held against.

    Args:
        precision: that training runs in; memory hangs on it.
    """

    def __init__(self, config: SweepConfig, precision: str) -> None:
        self._config = config
        self._precision = precision
        self._sizes: dict[str, ModelSizes] = {}

    def excess(self, values: Mapping[str, Any]) -> dict[str, float]:
        """By constraint that is set, need / limit - 1: 0 or below where it is kept."""
        wanted = self._config.search.constraints
        needs = self.needs(values)
        limits = {"trainable_parameters": wanted.max_trainable_parameters, "memory_gib": wanted.max_memory_gib}
        return {name: needs[name] / limit - 1.0 for name, limit in limits.items() if limit is not None}

    def needs(self, values: Mapping[str, Any]) -> dict[str, float]:
        """What a trial with these values would take."""
        config = self._config.with_values(values, check_search=False)
        sizes = self._sizes.get(config.model.name) or self._sizes.setdefault(config.model.name, model_sizes(config))
        checkpointing = config.train.activation_checkpointing is True
        return {
            "trainable_parameters": trainable_parameters(config, sizes),
            "memory_gib": training_gib(config, sizes, self._precision, activation_checkpointing=checkpointing),
        }


def limits_of(config: SweepConfig, precision: str) -> Limits | None:
    """None where no constraint is set, so that no model needs to be looked at."""
    wanted = config.search.constraints
    return None if wanted.max_trainable_parameters is None and wanted.max_memory_gib is None else Limits(config, precision)
