from __future__ import annotations

import pytest

from mixwright.evaluate.tokenize13a import tokenize_13a, tokenize_as_is


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


def test_tokens_as_they_stand_are_cut_at_white_space_only() -> None:
    assert tokenize_as_is(" do n't  stop. ") == ("do", "n't", "stop.")
