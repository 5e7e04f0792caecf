"""The price table: a model's tokens in dollars."""

from __future__ import annotations

import pytest

from mixwright.errors import ConfigError
from mixwright.evaluate.prices import Price, load_prices


def test_prices_are_a_million_tokens(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text("gpt-4o-mini: {input: 0.15, output: 0.60}\nmeta-llama/Llama-3.3-70B: {input: 1, output: 2}\n")
    prices = load_prices(path)
    assert prices == {"gpt-4o-mini": Price(input=0.15, output=0.60), "meta-llama/Llama-3.3-70B": Price(input=1.0, output=2.0)}
    assert prices["gpt-4o-mini"].usd(2_000_000, 500_000) == pytest.approx(0.60)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("gpt: {input: -1, output: 2}", "gpt: input: must be greater than or equal to 0, got -1"),
        ("gpt: {input: .inf, output: 2}", "gpt: input: "),
        ("gpt: {input: 1}", "gpt: `output` is missing"),
        ("gpt: 3", "gpt: must be a mapping"),
        ("gpt: {input: 1, output: 2, cached: 1}", "gpt: unknown key `cached`"),
        ("[1, 2]", "must map models to prices"),
        ("", "is empty"),
        ("gpt: {input: 1, output: 2}\ngpt: {input: 1, output: 2}", "stands twice"),
    ],
)
def test_a_table_that_breaks_a_rule_names_model_and_rule(tmp_path, content, words):
    path = tmp_path / "prices.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_prices(path)
    assert words in str(caught.value)
