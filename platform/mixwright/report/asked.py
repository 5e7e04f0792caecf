"""How each system came to its answers: which trial it is, how it decoded, what it used and cost, and where its answers lie.

What comes in: a RunFolder. What goes out: a row a system.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixwright.records import SystemRecord
from mixwright.report import trees, wording
from mixwright.report.run_folder import RunFolder
from mixwright.report.table import ordered_systems


@dataclass(frozen=True, kw_only=True)
class AskedSystem:
    """One system of the final table."""

    name: str
    origin: str
    """The trial's mix, where it is a trial."""
    decoding: str
    usage: str
    """Requests, tokens and price, where an endpoint counted them."""
    retention: float | None
    file: Path | None
    """Its predictions; None where there are none."""
    rows: int
    """How many they are."""


def asked_systems(folder: RunFolder) -> tuple[AskedSystem, ...]:
    """A row a system, in the order of the final table."""
    return tuple(_asked(folder, system) for system in ordered_systems(folder.run))


def _asked(folder: RunFolder, system: SystemRecord) -> AskedSystem:
    trial = next((trial for trial in folder.trials if system.trial_id and trial.trial_id == system.trial_id), None)
    file = folder.prediction_file(system.name)
    return AskedSystem(
        name=system.name,
        origin=f"trial {trial.number}: {wording.mix_phrase(trial.params) or 'as configured'}" if trial else "",
        decoding=phrase(system.decoding),
        usage=phrase(system.usage),
        retention=wording.finite(system.retention),
        file=file if file.is_file() else None,
        rows=len(folder.predictions.get(system.name, ())),
    )


def phrase(values: Mapping[str, Any]) -> str:
    """`method greedy, max new tokens 96`; what was left open is left out."""
    told = ((key, value) for key, value in values.items() if value is not None and value != "")
    return ", ".join(f"{key.replace('_', ' ')} {trees.shown(key, _whole(value))}" for key, value in told)


def _whole(value: Any) -> Any:
    """Counts that were kept as floats, as whole numbers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
