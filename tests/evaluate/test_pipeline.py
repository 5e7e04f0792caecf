from __future__ import annotations

import random
from typing import Any

import pytest
from spacy.tokens import Doc

from mixwright.evaluate import parsing
from mixwright.evaluate.pipeline import FastPipeline, _Rules, pipeline_of

SENTENCES = [
    "She walk to the old harbour every morning before work .",
    "There is n't nothing to do , is there ? There were two boats and it 's late .",
    "I 'm gon na let 's go , y' all ; c'm on , you got ta have had it .",
    "It ai n't so and nothin' will be done about that , I think .",
    "Ça va être « facile » pour Zoë — trop 😀 .",
    "東京 は 大きな 都市 だ",
    "Having been told what to do , the ones who do it well do it twice .",
    "x",
    "! ?",
]


def _spoilt(rng: random.Random, sentence: str) -> str:
    words = sentence.split()
    at = rng.randrange(len(words))
    words[at : at + 1] = rng.choice(([], [words[at]] * 2, [rng.choice(rng.choice(SENTENCES).split())]))
    return " ".join(words)


def _texts(seed: int) -> list[str]:
    """Sentences, and for each of them some close copies."""
    rng = random.Random(seed)
    return [text for sentence in SENTENCES for text in (sentence, *(_spoilt(rng, sentence) for _ in range(5)))]


def _read_by_errant(doc: Doc) -> list[tuple[Any, ...]]:
    return [
        (token.text, token.tag_, token.pos_, token.lemma_, token.dep_, token.head.i, [child.i for child in token.children])
        for token in doc
    ]


def _words(texts: list[str]) -> list[Doc]:
    return [Doc(parsing.annotator().nlp.vocab, text.split()) for text in texts]


@pytest.fixture(scope="module")
def pipeline() -> FastPipeline:
    found = pipeline_of(parsing.annotator().nlp)
    assert isinstance(found, FastPipeline)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_annotations_are_spacys_one_text_at_a_time(pipeline: FastPipeline, seed: int) -> None:
    texts = _texts(seed)
    ours, spacys = _words(texts), [parsing.annotator().nlp(doc) for doc in _words(texts)]
    pipeline(ours)
    for mine, theirs in zip(ours, spacys, strict=True):
        assert _read_by_errant(mine) == _read_by_errant(theirs)


def test_text_as_written_with_white_space_of_all_kinds_is_annotated_as_spacy_does(pipeline: FastPipeline) -> None:
    nlp = parsing.annotator().nlp
    texts = ["Two  boats\n\nwas painted,\tnear the\u00a0harbour. ", " ", "", "Don't say it ain't so.\n", "\n\n"]
    ours = [nlp.make_doc(text) for text in texts]
    pipeline(ours)
    for mine, text in zip(ours, texts, strict=True):
        assert _read_by_errant(mine) == _read_by_errant(nlp(text))


def test_a_rule_over_several_tokens_is_heeded_although_its_tokens_are_known(pipeline: FastPipeline) -> None:
    apart, together = _words(["He let it go and it 's late .", "He said let 's go ."])
    pipeline([apart])
    pipeline([together])
    assert [token.lemma_ for token in together if token.text == "'s"] == ["us"]


def test_each_different_token_goes_through_the_rules_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = FastPipeline(parsing.annotator().nlp)
    asked = []
    learn = _Rules._learn
    monkeypatch.setattr(_Rules, "_learn", lambda rules, tokens: (asked.append(len(tokens)), learn(rules, tokens)))
    for _ in range(2):
        pipeline(_words(["The ferry left the harbour ."]))
    assert asked[0] > 0
    assert asked[1:] == [0]


def test_a_pipeline_of_another_make_is_left_to_spacy() -> None:
    nlp = parsing.annotator().nlp
    with nlp.select_pipes(disable="parser"):
        annotate = pipeline_of(nlp)
        assert not isinstance(annotate, FastPipeline)
        (doc,) = _words(["The boats were painted ."])
        annotate([doc])
    assert [token.tag_ for token in doc] == ["DT", "NNS", "VBD", "VBN", "."]
    assert not doc.has_annotation("DEP")
