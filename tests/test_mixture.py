"""Rules of the mixture: exact counts, nested subsets, an order that hangs on ids."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from mixwright.config import MixtureConfig
from mixwright.errors import ConfigError, MixtureError
from mixwright.mixture import RankedPools, build_mixture, largest_remainder
from mixwright.records import GENERIC, Example

TASKS = ("clarity", "fluency", "coherence")


def pool(task: str, size: int) -> list[Example]:
    return [
        Example(id=f"{task}:{i}", source="s", task=task, text=f"{task} {i}", references=("x" * (1 + i % 7),)) for i in range(size)
    ]


def pools(size: int = 200) -> dict[str, list[Example]]:
    return {task: pool(task, size) for task in (*TASKS, GENERIC)}


def mix(fraction: float, size: int = 100, seed: int = 0, **settings: object):
    return build_mixture(pools(), MixtureConfig(generic_fraction=fraction, size=size, **settings), TASKS, seed=seed)


@pytest.mark.parametrize("total", [1, 2, 7, 100, 997])
def test_counts_sum_to_the_total_and_lie_within_one_of_their_share(total: int) -> None:
    generator = random.Random(total)
    shares = {f"t{i}": generator.random() for i in range(6)}
    counts = largest_remainder(total, shares)
    assert sum(counts.values()) == total
    whole = sum(shares.values())
    assert all(abs(counts[name] - total * share / whole) < 1 for name, share in shares.items())


def test_ties_do_not_depend_on_the_order_of_the_mapping() -> None:
    assert largest_remainder(1, {"b": 0.5, "a": 0.5}) == largest_remainder(1, {"a": 0.5, "b": 0.5})


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 1.0])
def test_generic_fraction_is_exact_and_its_ends_are_ordinary(fraction: float) -> None:
    mixture = mix(fraction)
    assert len(mixture.rows) == 100
    assert Counter(row.task for row in mixture.rows)[GENERIC] == round(100 * fraction)
    assert mixture.generic_fraction == fraction


def test_the_generic_count_does_not_hang_on_the_task_weights() -> None:
    for weights in ({}, {"clarity": 0.9, "fluency": 0.1}):
        assert mix(0.528, size=48, task_weights=weights).counts[GENERIC] == 25


def test_task_weights_become_exact_counts() -> None:
    weights = {"clarity": 0.5, "fluency": 0.3, "coherence": 0.2}
    assert mix(0.5, task_weights=weights).counts == {"clarity": 25, "fluency": 15, "coherence": 10, GENERIC: 50}


def test_a_mixture_with_more_of_a_task_sees_the_same_rows_first() -> None:
    few, many = mix(0.3), mix(0.6)
    few_generic = [row.id for row in few.rows if row.task == GENERIC]
    many_generic = [row.id for row in many.rows if row.task == GENERIC]
    assert many_generic[: len(few_generic)] == few_generic
    few_clarity = [row.id for row in many.rows if row.task == "clarity"]
    assert [row.id for row in few.rows if row.task == "clarity"][: len(few_clarity)] == few_clarity


def test_the_order_does_not_depend_on_positions_in_the_sources() -> None:
    config = MixtureConfig(generic_fraction=0.4, size=100)
    shuffled = {task: random.Random(1).sample(rows, len(rows)) for task, rows in reversed(pools().items())}
    assert build_mixture(shuffled, config, TASKS, seed=3).rows == build_mixture(pools(), config, TASKS, seed=3).rows


def test_another_seed_chooses_other_rows() -> None:
    assert {row.id for row in mix(0.5, seed=1).rows} != {row.id for row in mix(0.5, seed=2).rows}


def test_an_early_stretch_holds_the_tasks_in_their_shares() -> None:
    early = Counter(row.task for row in mix(0.5).rows[:50])
    assert abs(early[GENERIC] - 25) <= 2


def test_scenario_examples_stay_fixed_while_generic_rows_are_added() -> None:
    for fraction, generic in ((0.0, 0), (0.5, 60), (0.75, 180)):
        counts = mix(fraction, size=60, budget="scenario_examples").counts
        assert sum(count for task, count in counts.items() if task != GENERIC) == 60
        assert counts[GENERIC] == generic


def test_a_token_budget_is_filled_and_never_exceeded() -> None:
    config = MixtureConfig(generic_fraction=0.5, size=300, budget="tokens")

    def tokens(row: Example) -> int:
        return len(row.references[0])

    mixture = build_mixture(pools(), config, TASKS, seed=0, token_count=tokens)
    used = sum(tokens(row) for row in mixture.rows)
    assert 300 - 7 * 4 <= used <= 300
    assert abs(mixture.generic_fraction - 0.5) < 0.02


def test_a_small_source_is_repeated_up_to_the_limit_and_no_row_more_often_than_another() -> None:
    config = MixtureConfig(generic_fraction=0.5, size=40, max_repeats=2.0)
    mixture = build_mixture({**pools(), GENERIC: pool(GENERIC, 10)}, config, TASKS, seed=0)
    repeats = Counter(row.id for row in mixture.rows if row.task == GENERIC)
    assert set(repeats.values()) == {2}
    assert mixture.distinct[GENERIC] == 10


def test_a_source_beyond_the_limit_is_refused_with_a_size_that_fits() -> None:
    small = {**pools(), GENERIC: pool(GENERIC, 10)}
    with pytest.raises(MixtureError, match=r"generic needs 50 rows and has 10.*at most 20, or mixture.max_repeats to at least 5"):
        build_mixture(small, MixtureConfig(generic_fraction=0.5, size=100), TASKS, seed=0)
    fitting = build_mixture(small, MixtureConfig(generic_fraction=0.5, size=20), TASKS, seed=0)
    assert fitting.counts[GENERIC] == 10


def test_an_empty_pool_is_refused_in_every_budget() -> None:
    for budget in ("examples", "tokens", "scenario_examples"):
        config = MixtureConfig(generic_fraction=0.5, size=100, budget=budget)
        with pytest.raises(MixtureError, match="generic needs"):
            build_mixture({**pools(), GENERIC: []}, config, TASKS, seed=0, token_count=lambda row: 1)


def test_a_weight_for_a_task_that_is_not_trained_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'fluencey' is no trained task.*did you mean 'fluency'"):
        mix(0.5, task_weights={"fluencey": 1.0})


def in_order(order_seed: int | None, **settings: object) -> list[str]:
    config = MixtureConfig(generic_fraction=0.3, **{"size": 100, **settings})
    return [row.id for row in build_mixture(pools(30), config, TASKS, seed=4, order_seed=order_seed).rows]


@pytest.mark.parametrize("settings", [{}, {"size": 200, "max_repeats": 3.0}])
def test_another_order_learns_the_same_rows_as_often_in_another_order(settings: dict[str, object]) -> None:
    first, other = in_order(None, **settings), in_order(9, **settings)
    assert Counter(first) == Counter(other)
    assert first != other
    assert [row for row in first if row.startswith("clarity")] != [row for row in other if row.startswith("clarity")]
    assert in_order(4, **settings) == first


def test_another_order_still_mixes_the_tasks_evenly() -> None:
    half = [row.split(":")[0] for row in in_order(9)[:50]]
    assert abs(half.count(GENERIC) - 15) <= 1


class Watched(dict[str, list[Example]]):
    """Pools that note which of them are read."""

    def __init__(self) -> None:
        super().__init__(pools())
        self.read: list[str] = []

    def get(self, task: str, default: object = None) -> list[Example]:  # type: ignore[override]
        self.read.append(task)
        return super().get(task, [])


def test_pools_that_are_kept_give_the_same_mixtures_and_are_ranked_once() -> None:
    def tokens(row: Example) -> int:
        counted.append(row.id)
        return len(row.references[0])

    counted: list[str] = []
    watched = Watched()
    kept = RankedPools(watched, tokens)
    for budget, size in (("examples", 100), ("scenario_examples", 60), ("tokens", 300)):
        for fraction in (0.25, 0.5):
            for order_seed in (None, 3):
                config = MixtureConfig(generic_fraction=fraction, size=size, budget=budget)
                settings = {"seed": 3, "order_seed": order_seed}
                fresh = build_mixture(pools(), config, TASKS, token_count=lambda row: len(row.references[0]), **settings)
                assert kept.mixture(config, TASKS, **settings) == fresh
    assert sorted(watched.read) == sorted((*TASKS, GENERIC))
    assert len(counted) == len(set(counted)) == 800
    assert kept.mixture(MixtureConfig(size=50), TASKS, seed=4) == build_mixture(pools(), MixtureConfig(size=50), TASKS, seed=4)


def test_each_epoch_learns_the_same_rows_in_an_order_of_its_own() -> None:
    once, thrice = mix(0.3, 50), mix(0.3, 50, epochs=3)
    ids = [example.id for example in thrice.rows]
    assert ids[:50] == [example.id for example in once.rows]
    assert sorted(ids[:50]) == sorted(ids[50:100]) == sorted(ids[100:])
    assert len({tuple(ids[:50]), tuple(ids[50:100]), tuple(ids[100:])}) == 3
    assert thrice.counts == {task: 3 * count for task, count in once.counts.items()}
    assert thrice.generic_fraction == once.generic_fraction
