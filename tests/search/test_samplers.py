"""Samplers: each is seeded, goes on after a resume with other points, and is refused where it does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mixwright.config import SweepConfig
from mixwright.errors import ConfigError
from mixwright.search.samplers import SAMPLERS
from mixwright.search.searcher import TrialSearch, take_up
from mixwright.search.space import distributions
from mixwright.search.study import StudyFile
from mixwright.settings import validate
from mixwright.store.studies import StudyPlace

FRACTION = "mixture.generic_fraction"
BOTH = {FRACTION: {"low": 0.0, "high": 1.0}, "lora.rank": {"low": 2, "high": 64, "log": True}}
STEPS = {FRACTION: {"low": 0.0, "high": 1.0, "step": 0.25}, "lora.rank": {"choices": [4, 8]}}
WEIGHTED = {"kind": "weighted", "weights": {"seen": 1.0, "retention": 20.0}}


def config(sampler: str, **search: Any) -> SweepConfig:
    parameters = STEPS if sampler == "grid" else BOTH
    settings = {"trials": 10, "sampler": sampler, "parameters": parameters, "objective": WEIGHTED, **search}
    return validate(SweepConfig, {"name": "x", "search": settings}, where="space")


def searcher(folder: Path, settings: SweepConfig) -> TrialSearch:
    folder.mkdir(exist_ok=True)
    return TrialSearch(settings, ("objective",), opened(folder, settings), evaluate_base=False)


def opened(folder: Path, settings: SweepConfig) -> StudyFile:
    return StudyFile(StudyPlace(url=f"sqlite:///{folder}/study.db"), ("objective",), distributions(settings))


def run(search: TrialSearch, start: int, end: int) -> list[tuple[float, int]]:
    points = []
    for number in range(start, end):
        given = search.suggest(f"r{number}")
        points.append((given[FRACTION], given["lora.rank"]))
        search.on_trial_complete(f"r{number}", {"objective": -((given[FRACTION] - 0.3) ** 2), "training_iteration": 2})
    return points


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sampler_is_seeded_and_a_resumed_one_draws_other_points(tmp_path: Path, sampler: str) -> None:
    one = run(searcher(tmp_path / "a", config(sampler)), 0, 6)
    assert run(searcher(tmp_path / "b", config(sampler)), 0, 6) == one
    assert run(searcher(tmp_path / "c", config(sampler, seed=1)), 0, 6) != one
    resumed = run(searcher(tmp_path / "a", config(sampler)), 6, 9)
    if sampler != "nsga2":  # its children may be their parents
        assert not set(resumed) & set(one)


@pytest.mark.parametrize("sampler", ["qmc", "grid"])
def test_a_sequence_cut_off_in_the_middle_goes_on_as_if_it_had_not_been(tmp_path: Path, sampler: str) -> None:
    whole = run(searcher(tmp_path / "a", config(sampler)), 0, 8)
    first = run(searcher(tmp_path / "b", config(sampler)), 0, 3)
    cut_off = searcher(tmp_path / "b", config(sampler))
    running = cut_off.suggest("r3")
    file = opened(tmp_path / "b", config(sampler))
    done = [running["trial_id"]]
    assert take_up(file, [], ("objective",))[-1:] == done  # those before have no records here and are queued too
    again = searcher(tmp_path / "b", config(sampler))
    queued = run(again, 0, 4)
    assert sorted(queued) == sorted(whole[:4])
    assert first == whole[:3]
    assert run(again, 4, 8) == whole[4:8]


def test_the_grid_is_walked_once_around_the_points_that_were_given(tmp_path: Path) -> None:
    first = [{FRACTION: 0.5, "lora.rank": 8}]
    points = run(searcher(tmp_path, config("grid", first=first)), 0, 10)
    assert points[0] == (0.5, 8)
    assert len(set(points)) == 10


def test_quasi_random_points_fill_the_space_more_evenly_than_chance(tmp_path: Path) -> None:
    fractions = sorted(fraction for fraction, _ in run(searcher(tmp_path, config("qmc")), 0, 8))
    assert [int(fraction * 8) for fraction in fractions] == list(range(8))


@pytest.mark.parametrize(
    ("sampler", "search", "expected"),
    [
        ("tpee", {}, "search.sampler: must be 'tpe', 'gp', 'surface', 'nsga2', 'cmaes', 'grid', 'random' or 'qmc', got 'tpee'"),
        ("grid", {"parameters": BOTH}, f"search.parameters.{FRACTION}: sampler grid needs values that can be counted; give `step`"),
        ("grid", {"trials": 11}, "search.trials: the grid has 10 points, got 11 trials; set trials: 10"),
        (
            "cmaes",
            {"objective": {}},
            "search: sampler cmaes takes one objective, and kind pareto has several; set",
        ),
        ("cmaes", {"objective": {"kind": "constrained"}}, "kind constrained has limits that it would not see"),
        (
            "cmaes",
            {"parameters": {"lora.rank": {"choices": [4, 8]}}},
            "sampler cmaes moves along ranges, and only choices are",
        ),
        (
            "gp",
            {"parameters": {**BOTH, "lora.alpha": {"low": 1, "high": 2, "when": {"lora.rank": 4}}}},
            "sampler gp models one space that all trials share, and lora.alpha has a condition; use tpe, random or qmc",
        ),
        ("nsga2", {"startup_trials": 1}, "sampler nsga2 needs a generation of two or more; set startup_trials, its size"),
    ],
)
def test_a_sampler_that_does_not_fit_is_refused_with_the_way_out(sampler: str, search: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config(sampler, **search)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
