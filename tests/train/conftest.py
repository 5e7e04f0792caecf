"""Warm workers that several files look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from distributed_trials import Lane, config, run_lanes
from scripts import FULL_SWITCHING, LORA_SWITCHING, SCRIPT, SWITCHED_AND_RESUMED, Stage, methods

from mixwright.testing import make_tiny_model


@pytest.fixture(scope="session")
def all_stages(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Stage]:
    """The same scripts under every ZeRO stage, on two workers."""
    other = make_tiny_model(tmp_path_factory.mktemp("other") / "model", seed=1)
    searched = {"model.tuning": {"choices": ["lora", "full"]}, "model.name": {"choices": [str(tiny_model), str(other)]}}
    ran = {}
    for stage in (0, 1, 2, 3):
        folder = tmp_path_factory.mktemp(f"zero{stage}")
        lora = config(tiny_model, zero_stage=stage)
        full = lora.with_values({"model.tuning": "full"})
        lanes = [
            Lane(lora, folder / "lora", SCRIPT + SWITCHED_AND_RESUMED),
            Lane(lora, folder / "switched", LORA_SWITCHING),
            Lane(full, folder / "full", FULL_SWITCHING),
            Lane(config(tiny_model, searched=searched, zero_stage=stage), folder / "methods", methods(other)),
        ]
        seen = run_lanes(lanes, world_size=2)
        ran[stage] = Stage(*((lane.run_dir, records) for lane, records in zip(lanes, seen, strict=True)))
    return ran


@pytest.fixture(scope="session")
def stages(all_stages: dict[int, Stage]) -> dict[int, tuple[Path, list[Any]]]:
    """Trials with adapters that follow one another."""
    return {stage: ran.lora for stage, ran in all_stages.items()}
