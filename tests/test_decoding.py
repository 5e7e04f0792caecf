"""Decoding as settings: the short form, what contradicts itself, and what goes into records."""

from __future__ import annotations

import pytest

from mixwright.decoding import GREEDY, Decoding
from mixwright.errors import ConfigError
from mixwright.settings import Settings, validate


class Holder(Settings):
    decoding: Decoding = GREEDY


def read(value: object) -> Decoding:
    return validate(Holder, {"decoding": value}, where="test").decoding


def problem(value: object) -> str:
    with pytest.raises(ConfigError) as caught:
        read(value)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("greedy", {}),
        ("num_beams=4", {"num_beams": 4}),
        (" temperature = 0.7 , top_p=0.9 ", {"temperature": 0.7, "top_p": 0.9}),
        ("temperature=1,top_k=5,seed=123456789", {"temperature": 1.0, "top_k": 5, "seed": 123456789}),
        ("num_beams=2,length_penalty=-0.25", {"num_beams": 2, "length_penalty": -0.25}),
        ("repetition_penalty=1.1", {"repetition_penalty": 1.1}),
    ],
)
def test_the_short_form_says_what_the_mapping_says_and_is_written_back_as_itself(text: str, expected: dict[str, float]) -> None:
    assert read(text) == read(expected) == Decoding(**expected)
    assert read(read(text).text) == read(text)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("num_beams=4,temperature=0.7", "beam search draws nothing, got num_beams 4 and temperature 0.7; set one of them"),
        ("top_p=0.9", "top_p 0.9 would be ignored, since this is greedy; give a temperature above 0, or remove it"),
        ("top_k=3", "top_k 3 would be ignored, since this is greedy"),
        ("seed=1", "seed 1 would be ignored, since this is greedy"),
        ("num_beams=2,top_p=0.9", "top_p 0.9 would be ignored, since this is beam"),
        ("temperature=0.7,length_penalty=2", "length_penalty 2.0 would be ignored, since this is sampling; give num_beams above 1"),
        ("temperature=0.001", "temperature must be 0 or at least 0.01, got 0.001; 0 is greedy"),
        ("temperature=-1", "decoding.temperature: must be greater than or equal to 0"),
        ("temperature=nan", "decoding.temperature: must be less than or equal to 2"),
        ("temperature=3", "decoding.temperature: must be less than or equal to 2"),
        ("temperature=0.5,top_p=0", "decoding.top_p: must be greater than 0"),
        ("repetition_penalty=0.9", "decoding.repetition_penalty: must be greater than or equal to 1"),
        ("num_beams=0", "decoding.num_beams: must be greater than or equal to 1"),
        ("num_beams=17", "decoding.num_beams: must be less than or equal to 16"),
        ("num_beams=two", "decoding.num_beams: must be a valid integer"),
        ("num_beams=2,num_beams=3", "names num_beams twice"),
        ("temprature=0.7", "unknown key `decoding.temprature`; did you mean 'temperature'?"),
        ("gredy", "'gredy': must read `greedy` or name=value,...; for instance temperature=0.7,top_p=0.9"),
        ("", "must read `greedy`"),
        ("temperature=", "must read `greedy`"),
    ],
)
def test_what_contradicts_itself_or_leaves_its_range_is_one_clear_line(value: str, words: str) -> None:
    assert words in problem(value)


def test_a_record_names_strategy_and_limit_and_all_that_the_strategy_reads() -> None:
    assert GREEDY.record(40) == {"strategy": "greedy", "max_new_tokens": 40, "repetition_penalty": 1.0}
    assert read("num_beams=4").record(40) == {
        "strategy": "beam",
        "max_new_tokens": 40,
        "repetition_penalty": 1.0,
        "num_beams": 4,
        "length_penalty": 1.0,
    }
    assert read("temperature=0.7,repetition_penalty=1.1").record(8) == {
        "strategy": "sampling",
        "max_new_tokens": 8,
        "repetition_penalty": 1.1,
        "temperature": 0.7,
        "top_p": 1.0,
        "top_k": 0,
        "seed": 0,
    }
