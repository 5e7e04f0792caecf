"""What an outside model's tokens cost, by a table that the user keeps: prices change, and ours would be stale.

What comes in: a YAML file, and the tokens that an endpoint counted. What goes out: US dollars, or None where no price is known.

    gpt-4o-mini: {input: 0.15, output: 0.60}      # US dollars a million tokens
    meta-llama/Llama-3.3-70B-Instruct: {input: 0.5, output: 0.7}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from mixwright.errors import ConfigError
from mixwright.settings import Settings, load_yaml, validate

UsdPerMillion = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class Price(Settings):
    """One model's prices, US dollars a million tokens; discounts for cached prompts are not known here."""

    input: UsdPerMillion
    output: UsdPerMillion

    def usd(self, prompt_tokens: float, completion_tokens: float) -> float:
        """What these tokens cost."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


def load_prices(path: Path) -> Mapping[str, Price]:
    """Model -> price.

    Raises:
        ConfigError: no such file, not YAML, or an entry that is no price; the model is named.
    """
    tree = load_yaml(path)
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must map models to prices, as in `gpt-4o-mini: {{input: 0.15, output: 0.60}}`")
    return {str(model): validate(Price, price, where=f"{path}: {model}") for model, price in tree.items()}
