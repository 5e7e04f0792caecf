"""Keys become axes on which a step means the same wherever it is taken, and every place is an allowed value."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from mixwright.search.surface.axes import axes_of, neighbours, places_of, point_at, spread_points, squared_distances

SPACE: dict[str, BaseDistribution] = {
    "fraction": FloatDistribution(0.0, 0.8),
    "rate": FloatDistribution(1e-5, 1e-2, log=True),
    "rank": IntDistribution(4, 64),
    "size": IntDistribution(100, 200, step=25),
    "choice": CategoricalDistribution([4, 64, 16]),
    "kind": CategoricalDistribution(["lora", "dora", "full"]),
}


def test_a_point_comes_back_from_its_place() -> None:
    axes = axes_of(SPACE)
    point = {"fraction": 0.3, "rate": 3e-4, "rank": 17, "size": 175, "choice": 16, "kind": "dora"}
    back = point_at(axes, places_of(axes, [point])[0])
    assert back["kind"] == "dora"
    assert [back[key] for key in ("rank", "size", "choice")] == [17, 175, 16]
    assert (back["fraction"], back["rate"]) == (pytest.approx(0.3), pytest.approx(3e-4))


def test_every_place_that_is_made_is_an_allowed_value() -> None:
    axes = axes_of(SPACE)
    rng = np.random.default_rng(0)
    for place in (*spread_points(axes, 64, 0), *neighbours(axes, spread_points(axes, 1, 1)[0], 64, 0.3, rng)):
        point = point_at(axes, place)
        for key, distribution in SPACE.items():
            assert distribution._contains(distribution.to_internal_repr(point[key])), (key, point[key])


def test_ranks_stand_at_equal_distances_when_they_double() -> None:
    axes = axes_of({"rank": CategoricalDistribution([4, 8, 16, 32])})
    places = places_of(axes, [{"rank": rank} for rank in (4, 8, 16, 32)])[:, 0]
    assert np.diff(places) == pytest.approx([1 / 3] * 3)


def test_seeds_and_single_values_are_no_axes() -> None:
    space = {"train.seed": IntDistribution(0, 5), "one": CategoricalDistribution(["a"]), "fraction": FloatDistribution(0, 1)}
    assert [axis.key for axis in axes_of(space)] == ["fraction"]


def test_a_key_that_one_of_two_points_lacks_sets_them_apart() -> None:
    axes = axes_of({"rank": IntDistribution(4, 64), "kind": CategoricalDistribution(["lora", "full"])})
    places = places_of(axes, [{"kind": "lora", "rank": 16}, {"kind": "full"}, {"kind": "full"}])
    apart = squared_distances(axes, places, places)
    assert [axis.key for axis in axes] == ["kind", "rank"]
    assert apart[1, 0, 1] >= 1.0
    assert apart[1, 1, 2] == 0.0
    assert apart[0].tolist() == [[0, 1, 1], [1, 0, 0], [1, 0, 0]]
