from __future__ import annotations

import pytest

from mixwright.errors import ModelError
from mixwright.generate.echo import CharacterTokenizer, EchoEngine
from mixwright.generate.engine import Request
from mixwright.prompts import prompt_ids


def test_base_answers_with_the_text_and_an_adapter_signs_it():
    ids = prompt_ids(CharacterTokenizer(), "Fix it.", "Ein Text:\n\nmit Ü.")
    engine = EchoEngine(["kind"])
    requests = [Request(prompt_ids=ids, adapter=name, max_new_tokens=50) for name in ("base", "kind")]
    assert engine.generate(requests) == ["Ein Text:\n\nmit Ü.", "kind: Ein Text:\n\nmit Ü."]
    assert engine.batches == [tuple(requests)]


def test_the_limit_cuts_and_an_unknown_adapter_is_refused():
    ids = prompt_ids(CharacterTokenizer(), "Fix it.", "abcdef")
    assert EchoEngine().generate([Request(prompt_ids=ids, max_new_tokens=3)]) == ["abc"]
    with pytest.raises(ModelError, match="no adapter 'kind'"):
        EchoEngine().generate([Request(prompt_ids=ids, adapter="kind", max_new_tokens=3)])
