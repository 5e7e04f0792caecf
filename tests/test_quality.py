"""Rules of noise, filter and repeats: exact and nested shares of the scenario's training rows, and of nothing else."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from pathlib import Path

import pytest

from mixwright.config import MixtureConfig, ModelConfig
from mixwright.data.embedded import embedded_rows
from mixwright.data.tokens import RowName, TokenTable, instruction_of, token_table
from mixwright.errors import MixtureError
from mixwright.mixture import Mixture, RankedPools
from mixwright.models import load_tokenizer
from mixwright.prompts import render
from mixwright.quality import radical_inverse
from mixwright.records import GENERIC, Example
from mixwright.scenarios import load_scenario

TASKS = ("clarity", "fluency")
SCENARIO = load_scenario("writing")


def pool(task: str, size: int) -> list[Example]:
    return [
        Example(
            id=f"{task}:{i}", source="s", task=task, text=f"{task} a{i} b{i} c{i}", references=(f"a{i} b{i} " + "x " * (i % 5),)
        )
        for i in range(size)
    ]


class Texts:
    """Contents of examples, by their words."""

    def with_response_of(self, row: Example, other: Example) -> Example | None:
        return None if other.references == row.references else dataclasses.replace(row, references=other.references)

    def overlap(self, row: Example) -> float:
        words = [word for word in row.references[0].split() if word != "x"]
        return sum(word in row.text.split() for word in words) / len(words)


POOLS = {task: pool(task, 400) for task in (*TASKS, GENERIC)}


def mix(pools: dict[str, list[Example]] = POOLS, **settings: object) -> Mixture[Example]:
    config = MixtureConfig(**{"generic_fraction": 0.5, "size": 200, **settings})
    ranked = RankedPools(pools, lambda row: len(row.references[0].split()), Texts())
    return ranked.mixture(config, TASKS, seed=0)


def wrong(mixture: Mixture[Example]) -> set[str]:
    originals = {row.id: row.references for rows in POOLS.values() for row in rows}
    return {row.id for row in mixture.rows if row.references != originals[row.id]}


def test_the_share_of_noise_is_met_at_every_number_of_rows() -> None:
    for noise in (0.1, 0.25, 0.3, 0.5, 0.9):
        for rows in range(1, 300):
            found = sum(radical_inverse(place) < noise for place in range(rows))
            assert abs(found - noise * rows) < (1 if noise in (0.25, 0.5) else math.log2(rows) / 3 + 1)


def test_noise_falls_on_scenario_rows_alone_and_is_counted() -> None:
    mixture = mix(noise=0.5)
    assert mixture.noised == {"clarity": 25, "fluency": 25}
    assert Counter(row.task for row in mixture.rows if row.id in wrong(mixture)) == mixture.noised
    assert mix(noise=0.5, epochs=3).noised == {"clarity": 75, "fluency": 75}
    assert mix().noised == {}


def test_the_same_rows_are_learned_in_the_same_order_whatever_the_noise() -> None:
    assert [row.id for row in mix(noise=0.7).rows] == [row.id for row in mix().rows]


def test_more_noise_is_the_same_noise_and_more() -> None:
    few, many = mix(noise=0.2), mix(noise=0.6)
    assert wrong(few) < wrong(many)
    responses = {row.id: row.references for row in many.rows}
    assert all(responses[row.id] == row.references for row in few.rows if row.id in wrong(few))


def test_a_mixture_of_more_rows_holds_the_noise_of_one_of_fewer() -> None:
    few, many = mix(noise=0.3, size=100), mix(noise=0.3, size=200)
    assert wrong(few) == wrong(many) & {row.id for row in few.rows}


def test_no_noise_and_all_noise_are_ordinary_values() -> None:
    assert wrong(mix(noise=0.0)) == set()
    assert mix(noise=1.0).noised == {"clarity": 50, "fluency": 50}


def test_the_filter_sees_the_noise_and_other_rows_take_the_place_of_what_it_leaves_out() -> None:
    mixture = mix(noise=0.5, min_overlap=0.5)
    assert mixture.counts == mix().counts
    assert mixture.noised == {}
    assert mixture.filtered == {"clarity": 200, "fluency": 200}
    assert wrong(mixture) == set()


def test_a_filter_that_leaves_too_little_is_refused_by_name() -> None:
    with pytest.raises(MixtureError, match=r"clarity needs 50 rows and has 0 of min_overlap 0.5; fluency"):
        mix(noise=1.0, min_overlap=0.5)


def test_fewer_different_rows_fill_the_same_budget_and_each_is_repeated_alike() -> None:
    mixture, whole = mix(distinct_fraction=0.25), mix()
    assert mixture.counts == whole.counts
    assert mixture.distinct == {"clarity": 13, "fluency": 13, GENERIC: 100}
    repeats = Counter(row.id for row in mixture.rows if row.task == "clarity")
    assert set(repeats.values()) == {3, 4}
    assert set(repeats) < {row.id for row in whole.rows}


def test_asking_for_repeats_needs_no_more_rows_than_are_different() -> None:
    small = {**POOLS, "clarity": pool("clarity", 13)}
    assert mix(small, distinct_fraction=0.25).distinct["clarity"] == 13
    with pytest.raises(MixtureError, match="clarity needs 50 rows and has 12"):
        mix({**POOLS, "clarity": pool("clarity", 12)}, distinct_fraction=0.25)


@pytest.mark.parametrize("settings", [{"noise": 0.4}, {"min_overlap": 0.9}, {"distinct_fraction": 0.3}], ids=str)
def test_a_budget_of_tokens_counts_the_rows_as_they_are_learned(settings: dict[str, float]) -> None:
    mixture = mix(budget="tokens", size=400, **settings)
    used = sum(len(row.references[0].split()) for row in mixture.rows)
    assert 370 <= used <= 400


def test_noise_without_contents_is_a_fault_of_the_caller() -> None:
    with pytest.raises(MixtureError, match="fault of the caller"):
        RankedPools(POOLS).mixture(MixtureConfig(size=20, noise=0.1), TASKS, seed=0)


@pytest.fixture(scope="module")
def examples() -> dict[str, list[Example]]:
    return {task: list(embedded_rows(task, "train", 60, seed=0, source="made")) for task in ("grammaticality", "clarity", GENERIC)}


def table(examples: dict[str, list[Example]], model: Path, max_length: int = 2048) -> TokenTable:
    settings = ModelConfig(name=str(model), max_length=max_length)
    return token_table(examples, load_tokenizer(settings), SCENARIO, settings, seed=0)


def test_a_row_with_anothers_response_has_the_tokens_of_the_two_texts(examples, tiny_model: Path) -> None:
    tokens, tokenizer = table(examples, tiny_model), load_tokenizer(ModelConfig(name=str(tiny_model)))
    ours, other = examples["clarity"][:2]
    name = tokens.with_response_of(RowName("clarity", ours.id), RowName("clarity", other.id))
    assert name is not None
    expected = render(tokenizer, instruction_of(ours, SCENARIO, seed=0), ours.text, other.references[0])
    assert tuple(tokens.rendered(name).token_ids) == expected.token_ids
    assert tokens.rendered(name).prompt_length == expected.prompt_length
    assert tokens.token_count(name) == len(expected.token_ids)


def test_no_noised_row_is_longer_than_the_longest_that_is_learned(examples, tiny_model: Path) -> None:
    tokens = table(examples, tiny_model, max_length=210)
    names = tokens.names()
    longest = max(tokens.token_count(row) for rows in names.values() for row in rows)
    fitting = {task: min(len(rows), 20) for task, rows in names.items() if task != GENERIC}
    config = MixtureConfig(generic_fraction=0.0, size=min(fitting.values()) * 2, noise=1.0)
    mixture = RankedPools(names, tokens.token_count, tokens).mixture(config, tuple(fitting), seed=0)
    assert sum(mixture.noised.values()) > 0
    assert max(tokens.token_count(row) for row in mixture.rows) <= longest <= 210


def test_overlap_is_the_share_of_the_responses_tokens_in_the_prompt(tiny_model: Path) -> None:
    rows = [
        Example(id="same", source="s", task="clarity", text="abc", references=("abc",)),
        Example(id="half", source="s", task="clarity", text="abc", references=("ab@#",)),
    ]
    tokens = table({"clarity": rows}, tiny_model)
    assert [tokens.overlap(row) for row in tokens.names()["clarity"]] == [1.0, 0.5]
