from __future__ import annotations

import random
import sys
import types
from collections.abc import Callable

import pytest
from plain_scores import plain_sari, tokenize_13a_by_line

from mixwright.errors import ScoreError
from mixwright.evaluate.metric import score
from mixwright.evaluate.sari import Sari, sari_parts

SOURCES = ["About 40 lamps are presently lit .", "The cat sat on the old mat, and the dog slept."]
OUTPUTS = ["About 40 lamps are now lit .", "The cat sat on the mat. The dog slept."]
REFERENCES = [
    ["About 40 lamps burn .", "About 40 lamps are now lit .", "40 lamps are lit ."],
    ["The cat sat on the mat. The dog slept.", "A cat sat there; a dog slept.", "The cat sat on a mat and the dog slept."],
]


def _random_rows(seed: int, rows: int = 40) -> tuple[list[str], list[str], list[list[str]]]:
    rng = random.Random(seed)
    words = ["Fog", "fog", "rolls", "in", "over", "the", "bay,", "at", "5.30", "dawn.", "(again)", "slowly"]

    def text() -> str:
        return " ".join(rng.choices(words, k=rng.randrange(1, 14)))

    return (
        [text() for _ in range(rows)],
        [text() for _ in range(rows)],
        [[text() for _ in range(rng.randrange(1, 5))] for _ in range(rows)],
    )


@pytest.mark.parametrize("seed", range(5))
def test_sari_equals_its_plain_definition(seed: int) -> None:
    sources, outputs, references = _random_rows(seed)
    expected = plain_sari(sources, outputs, references, tokenize_13a_by_line)
    assert score(Sari(), sources, outputs, references) == pytest.approx(expected, abs=1e-9)


def test_sari_counts_by_hand() -> None:
    # One order is enough to follow: 'b' is rightly deleted, 'd' rightly added, 'a' kept; no longer n-gram is shared.
    statistics = Sari().statistics(["a b"], ["a d"], [["a d"]])
    unigrams = statistics.reshape(3, 3, 4)[..., 0]
    assert unigrams.tolist() == [[1, 1, 1], [1, 1, 1], [1, 1, 1]]
    bigrams = statistics.reshape(3, 3, 4)[..., 1]
    assert bigrams.tolist() == [[1, 1, 1], [0, 0, 0], [1, 1, 1]]


def test_sari_is_the_mean_of_its_parts() -> None:
    statistics = Sari().statistics(SOURCES, OUTPUTS, REFERENCES)
    parts = sari_parts(statistics)
    assert Sari().aggregate(statistics) == pytest.approx((parts.add + parts.keep + parts.delete) / 3)


def test_letter_case_and_spacing_before_punctuation_do_not_count() -> None:
    spaced = score(Sari(), SOURCES, ["ABOUT 40 lamps are now lit.", *OUTPUTS[1:]], REFERENCES)
    assert spaced == pytest.approx(score(Sari(), SOURCES, OUTPUTS, REFERENCES))


def test_an_operation_that_nobody_performs_counts_as_zero() -> None:
    same = ["Nothing needs to change in this line."]
    parts = sari_parts(Sari().statistics(same, same, [same]))
    assert (parts.add, parts.keep, parts.delete) == (0, 100, 0)


@pytest.fixture
def fake_easse(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Stands in for an installed EASSE that is off by so many points."""

    def install(error: float) -> None:
        def corpus_sari(orig_sents: list[str], sys_sents: list[str], refs_sents: list[list[str]]) -> float:
            by_row = [list(texts) for texts in zip(*refs_sents, strict=True)]
            return plain_sari(orig_sents, sys_sents, by_row, tokenize_13a_by_line) + error

        package, module = types.ModuleType("easse"), types.ModuleType("easse.sari")
        module.corpus_sari = corpus_sari  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "easse", package)
        monkeypatch.setitem(sys.modules, "easse.sari", module)

    return install


def test_easse_as_backend_gives_the_same_score(fake_easse: Callable[[float], None]) -> None:
    fake_easse(0.0)
    own = score(Sari(), SOURCES, OUTPUTS, REFERENCES)
    assert score(Sari(backend="easse"), SOURCES, OUTPUTS, REFERENCES) == own


def test_easse_that_disagrees_is_refused(fake_easse: Callable[[float], None]) -> None:
    fake_easse(0.01)
    with pytest.raises(ScoreError, match="by the installed EASSE"):
        score(Sari(backend="easse"), SOURCES, OUTPUTS, REFERENCES)


def test_easse_needs_equally_many_references(fake_easse: Callable[[float], None]) -> None:
    fake_easse(0.0)
    with pytest.raises(ScoreError, match="same number of references"):
        score(Sari(backend="easse"), SOURCES, OUTPUTS, [REFERENCES[0], REFERENCES[1][:1]])


def test_missing_easse_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "easse", None)
    monkeypatch.setitem(sys.modules, "easse.sari", None)
    with pytest.raises(ScoreError, match="is not installed; install EASSE"):
        score(Sari(backend="easse"), SOURCES, OUTPUTS, REFERENCES)
