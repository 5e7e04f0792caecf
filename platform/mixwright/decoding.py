"""How answers are decoded: the one type for it, from a YAML file or a request over HTTP to every record.

What comes in: settings, as a mapping or in their short form. What goes out: a checked, frozen `Decoding` whose parts do not
contradict one another, so that a mistake is told in the same words wherever it was made.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mixwright.settings import Settings

GREEDY_TEXT = "greedy"
LOWEST_TEMPERATURE = 0.01
READ_BY_STRATEGY = (
    ("num_beams", "beam", "num_beams above 1"),
    ("length_penalty", "beam", "num_beams above 1"),
    ("temperature", "sampling", "a temperature above 0"),
    ("top_p", "sampling", "a temperature above 0"),
    ("top_k", "sampling", "a temperature above 0"),
    ("seed", "sampling", "a temperature above 0"),
)
"""Setting of decoding, the one strategy that reads it, and what makes it that strategy."""


class Decoding(Settings):
    """How answers are decoded: greedily, unless there are beams or a temperature.

    Wherever this is taken, a short text is too: `greedy`, `num_beams=4` or `temperature=0.7,top_p=0.9`.
    """

    num_beams: Annotated[int, Field(ge=1, le=16)] = 1
    """Hypotheses that are kept; above 1 this is beam search, and memory and time grow with it."""
    length_penalty: Annotated[float, Field(ge=-10.0, le=10.0)] = 1.0
    """Beam search: a hypothesis' log-probability is divided by its length to this power; more of it favours long answers."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    """0 takes the likeliest token; above it a token is drawn, after the logits were divided by it."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Sampling: draw among the likeliest tokens that reach this probability together (Holtzman et al. 2020)."""
    top_k: Annotated[int, Field(ge=0)] = 0
    """Sampling: draw among this many of the likeliest tokens; 0 is all."""
    repetition_penalty: Annotated[float, Field(ge=1.0, le=5.0)] = 1.0
    """Any strategy: tokens that stand in the prompt or in the answer so far become less likely (Keskar et al. 2019). The prompt
    counts, so that it also holds back what an edit should copy."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Sampling: with the prompt it sets the draws, so that an answer does not hang on what else is asked."""

    @model_validator(mode="before")
    @classmethod
    def _reads_its_short_form(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.strip() == GREEDY_TEXT:
            return {}
        parts = [part.partition("=") for part in value.split(",")]
        if not all(name.strip() and equals and text.strip() for name, equals, text in parts):
            raise ValueError(f"{value!r}: must read `{GREEDY_TEXT}` or name=value,...; for instance temperature=0.7,top_p=0.9")
        names = [name.strip() for name, _, _ in parts]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{value!r}: names {', '.join(twice)} twice; give it once")
        return {name.strip(): text.strip() for name, _, text in parts}

    @model_validator(mode="after")
    def _settings_belong_together(self) -> Self:
        beams, temperature = self.num_beams, self.temperature
        if beams > 1 and temperature > 0:
            raise ValueError(f"beam search draws nothing, got num_beams {beams} and temperature {temperature:g}; set one of them")
        if 0 < temperature < LOWEST_TEMPERATURE:
            raise ValueError(f"temperature must be 0 or at least {LOWEST_TEMPERATURE}, got {temperature:g}; 0 is greedy")
        for name, strategy, needed in READ_BY_STRATEGY:
            if name in self.changed and self.strategy != strategy:
                raise ValueError(
                    f"{name} {self.changed[name]} would be ignored, since this is {self.strategy}; give {needed}, or remove it"
                )
        return self

    @property
    def strategy(self) -> Literal["greedy", "beam", "sampling"]:
        return "beam" if self.num_beams > 1 else "sampling" if self.temperature > 0 else "greedy"

    @property
    def changed(self) -> dict[str, float]:
        """Settings that are not those of plain greedy decoding, in the order of the fields."""
        return {name: value for name, value in self if value != type(self).model_fields[name].default}

    @property
    def text(self) -> str:
        """The short form, which names it wherever people read it."""
        return ",".join(f"{name}={str(value).removesuffix('.0')}" for name, value in self.changed.items()) or GREEDY_TEXT

    def record(self, max_new_tokens: int) -> dict[str, Any]:
        """All that an answer hangs on beside model and prompt, for records: strategy, limit, and whatever the strategy reads."""
        read = [name for name, strategy, _ in READ_BY_STRATEGY if strategy == self.strategy]
        return {
            "strategy": self.strategy,
            "max_new_tokens": max_new_tokens,
            "repetition_penalty": self.repetition_penalty,
            **{name: getattr(self, name) for name in read},
        }


GREEDY = Decoding()
