from __future__ import annotations

import random

import pytest
from plain_scores import tokenize_13a_by_line

from mixwright.evaluate.tokenize13a import tokenize_13a


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It rained, then it stopped.", ["It", "rained", ",", "then", "it", "stopped", "."]),
        ("Pi is 3.14 and ten thousand is 10,000.", ["Pi", "is", "3.14", "and", "ten", "thousand", "is", "10,000", "."]),
        ("It ended in 1994.", ["It", "ended", "in", "1994", "."]),
        ("don't re-do the '90s", ["don't", "re-do", "the", "'90s"]),
        ("the 20-year plan", ["the", "20", "-", "year", "plan"]),
        ("a&amp;b &lt;c&gt; &quot;d&quot;", ["a", "&", "b", "<", "c", ">", '"', "d", '"']),
        ("(x/y)=[z]; 5% @home #1", ["(", "x", "/", "y", ")", "=", "[", "z", "]", ";", "5", "%", "@", "home", "#", "1"]),
        ("wait...", ["wait", ".", ".", "."]),
        ("one\ntwo-\nthree <skipped>four", ["one", "twothree", "four"]),
        ("« Zoë » — 東京。", ["«", "Zoë", "»", "—", "東京。"]),
        ("  spaced\u00a0out  ", ["spaced", "out"]),
        ("", []),
    ],
)
def test_13a_rules(text: str, tokens: list[str]) -> None:
    assert list(tokenize_13a(text)) == tokens


@pytest.mark.parametrize("seed", range(10))
def test_cutting_word_by_word_gives_what_the_rules_give_on_the_whole_line(seed: int) -> None:
    rng = random.Random(seed)
    pieces = [
        *"ab01.,-' !)",
        "\u00a0",
        "\u2028",
        "\x1c",
        "\n",
        "-\n",
        "&amp;",
        "&lt;",
        "<skipped>",
        "é",
        "。",
        "..",
        ", ,",
        "1.5",
        ".5-",
    ]
    for _ in range(300):
        text = "".join(rng.choices(pieces, k=rng.randrange(0, 14)))
        assert tokenize_13a(text) == tokenize_13a_by_line(text), repr(text)
