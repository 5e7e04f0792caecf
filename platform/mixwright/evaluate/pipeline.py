"""spaCy's small English pipeline for ERRANT: what ERRANT reads of a parse is the same, token for token, in a fraction of the time.

What comes in: tokenised documents. What goes out: the same documents with tags, heads, dependencies, coarse tags and lemmas.
The texts of one evaluation are close copies of one another, and two things follow:

- A convolution's output depends on a window of words. Each different window is computed once a batch, by spaCy's own layers.
- What the attribute ruler and the lemmatizer make of a token depends on its word, tag and dependency. Each different one goes
  through them once; a document that a rule over several tokens fits always does.

Morphology and vectors, which ERRANT does not read, are not kept. A pipeline of another make is left to spaCy.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.vocab import Vocab

Doc = Any
"""spaCy's Doc; its stubs refuse arrays that it takes."""
Ints = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]
_Token = tuple[int, int, int]
"""Word, tag and dependency in spaCy's numbers."""

_COMPONENTS = ["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer"]
_EMBEDDING = {"@architectures": "spacy.MultiHashEmbed.v2", "include_static_vectors": False}
_ENCODER = {"@architectures": "spacy.MaxoutWindowEncoder.v2", "window_size": 1}
_LISTENER = {"@architectures": "spacy.Tok2VecListener.v1"}

_BATCH_DOCS = 512
_PARSER_BATCH_DOCS = 64
_NO_VECTOR = np.zeros((0,), dtype=np.float32)


def pipeline_of(nlp: Language) -> Callable[[Sequence[Doc]], None]:
    """What annotates documents in place as `nlp` does; spaCy itself where the pipeline is of another make."""

    def by_spacy(docs: Sequence[Doc]) -> None:
        for _ in nlp.pipe(docs):
            pass

    return FastPipeline(nlp) if _is_of_known_make(nlp) else by_spacy


def _is_of_known_make(nlp: Language) -> bool:
    if nlp.pipe_names != _COMPONENTS:
        return False
    models = {name: nlp.config["components"][name]["model"] for name in _COMPONENTS[:3]}
    return (
        _EMBEDDING.items() <= models["tok2vec"]["embed"].items()
        and _ENCODER.items() <= models["tok2vec"]["encode"].items()
        and all(_LISTENER.items() <= models[name]["tok2vec"].items() for name in ("tagger", "parser"))
    )


class FastPipeline:
    """The trained parts of spaCy's small pipeline, each run over many documents at a time."""

    def __init__(self, nlp: Language) -> None:
        parts: dict[str, Any] = {name: nlp.get_pipe(name) for name in _COMPONENTS}
        self._parser, tagger = parts["parser"], parts["tagger"]
        self._windows = _Windows(parts["tok2vec"].model)
        self._rules = _Rules(nlp.vocab, parts["attribute_ruler"], parts["lemmatizer"])
        self._tag_scores = tagger.model.get_ref("output_layer")
        self._tags = np.array([nlp.vocab.strings[label] for label in tagger.labels], dtype=np.uint64)

    def __call__(self, docs: Sequence[Doc]) -> None:
        """Annotates documents in place."""
        filled = [doc for doc in docs if len(doc)]
        for start in range(0, len(filled), _BATCH_DOCS):
            self._annotate(filled[start : start + _BATCH_DOCS])

    def _annotate(self, docs: Sequence[Doc]) -> None:
        vectors, window_of_token = self._windows(docs)
        tag_of_window = self._tags[self._tag_scores.predict(vectors).argmax(axis=1)]
        end = 0
        for doc in docs:
            start, end = end, end + len(doc)
            windows = window_of_token[start:end]
            doc.from_array(["TAG"], tag_of_window[windows])
            doc.tensor = vectors[windows]  # where the parser looks for it
        by_length = sorted(docs, key=len)
        for start in range(0, len(by_length), _PARSER_BATCH_DOCS):
            batch = by_length[start : start + _PARSER_BATCH_DOCS]
            self._parser.set_annotations(batch, self._parser.predict(batch))
        for doc in docs:
            doc.tensor = _NO_VECTOR
        self._rules(docs)


class _Windows:
    """The token vectors of spaCy's convolutional `tok2vec`, each different window of words computed once."""

    def __init__(self, tok2vec: Any) -> None:
        extract, _, hash_embeds, mix, _ = tok2vec.get_ref("embed").layers
        encode = tok2vec.get_ref("encode")
        self._columns = extract.attrs["columns"]
        self._embed = (hash_embeds, mix)
        self._convolutions = [residual.layers[0].layers[1] for residual in encode.layers[0].layers]
        self._pad = encode.attrs["pad"]

    def __call__(self, docs: Sequence[Doc]) -> tuple[Vectors, Ints]:
        """Vectors of the different windows, (windows, width), and the window that each token stands in, (tokens,)."""
        features = np.concatenate([doc.to_array(self._columns) for doc in docs])
        first, word = _different(_mixed(features))
        vectors: Vectors = features[first]
        for layer in self._embed:
            vectors = layer.predict(vectors)
        # Row 0 is the empty place that stands before, between and after documents.
        vectors = np.concatenate([np.zeros_like(vectors[:1]), vectors])
        places, wanted = self._places([len(doc) for doc in docs], word + 1)
        for number, convolution in enumerate(self._convolutions, start=1):
            # An empty place matters only as far as later windows reach.
            at = np.flatnonzero(wanted <= len(self._convolutions) - number)
            left, center, right = places[at - 1], places[at], places[at + 1]
            first, which = _different((left * len(vectors) + center) * len(vectors) + right)
            window = [vectors[side[first]] for side in (left, center, right)]
            vectors = window[1] + convolution.predict(np.concatenate(window, axis=1))
            places[at] = which
        return vectors, places[at]

    def _places(self, lengths: Sequence[int], words: Ints) -> tuple[Ints, Ints]:
        """Words with empty places around each document; and how far each place is from a word."""
        before = np.repeat(np.arange(1, len(lengths) + 1) * self._pad, lengths)
        inside = np.arange(len(words)) + before
        places = np.zeros(len(words) + (len(lengths) + 1) * self._pad, dtype=np.int64)
        places[inside] = words
        away = np.full(len(places), self._pad, dtype=np.int64)
        for distance in range(self._pad - 1, -1, -1):
            for direction in (-distance, distance):
                away[inside + direction] = distance
        return places, away


class _Rules:
    """The attribute ruler and the lemmatizer, asked once about each different token."""

    _KNOWN_LIMIT = 500_000
    _TOKEN_KEYS = frozenset(("LOWER", "TAG", "DEP", "IS_SPACE"))
    """What a rule may ask of a token for its outcome to be a matter of word, tag and dependency."""
    _BETWEEN = "\ue000"
    """A word that no rule knows."""

    def __init__(self, vocab: Vocab, ruler: Any, lemmatizer: Any) -> None:
        from spacy.matcher import Matcher

        self._vocab, self._ruler, self._lemmatizer = vocab, ruler, lemmatizer
        self._known: dict[_Token, tuple[int, int]] = {}
        """Coarse tag and lemma."""
        self._openers: set[_Token] = set()
        """Tokens with which a rule over several tokens begins."""
        patterns = [pattern for rule in self._ruler.patterns for pattern in rule["patterns"]]
        self._learns = all(set(token) <= self._TOKEN_KEYS for pattern in patterns for token in pattern)
        several = [pattern for pattern in patterns if len(pattern) > 1]
        self._several, self._opening = Matcher(vocab), Matcher(vocab)
        if several:
            self._several.add("several", several)
            self._opening.add("opening", [pattern[:1] for pattern in several])

    def __call__(self, docs: Sequence[Doc]) -> None:
        """Gives coarse tags and lemmas to documents that have tags and dependencies."""
        tokens_of = [[tuple(token) for token in doc.to_array(["ORTH", "TAG", "DEP"]).tolist()] for doc in docs]
        if self._learns:
            self._learn(set(itertools.chain.from_iterable(tokens_of)).difference(self._known))
        for doc, tokens in zip(docs, tokens_of, strict=True):
            found = [self._known.get(token) for token in tokens]
            if None in found or (not self._openers.isdisjoint(tokens) and self._several(doc, allow_missing=True)):
                self._lemmatizer(self._ruler(doc))
            else:
                doc.from_array(["POS", "LEMMA"], np.array(found, dtype=np.uint64))

    def _learn(self, tokens: set[_Token]) -> None:
        """Asks about tokens in a document where each stands by itself; white space, whose tag changes too, stays unknown."""
        from spacy import tokens as spacy_tokens

        if len(self._known) > self._KNOWN_LIMIT:
            self._known.clear()
        ordered = sorted(tokens)
        for first in range(0, len(ordered), _BATCH_DOCS):
            some = ordered[first : first + _BATCH_DOCS]
            asked: Doc = spacy_tokens.Doc(
                self._vocab, [word for orth, _, _ in some for word in (self._vocab.strings[orth], self._BETWEEN)]
            )
            labels = np.repeat(np.array(some, dtype=np.uint64)[:, 1:], 2, axis=0)
            asked.from_array(["TAG", "DEP"], labels)
            self._openers.update(some[start // 2] for _, start, _ in self._opening(asked, allow_missing=True) if start % 2 == 0)
            self._lemmatizer(self._ruler(asked))
            answers = zip(some, list(asked)[::2], strict=True)
            self._known.update((key, (token.pos, token.lemma)) for key, token in answers if not token.is_space)


def _mixed(columns: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """One number a row; rows that differ have different ones, as surely as spaCy's 64-bit numbers of words do."""
    mixed = np.zeros(len(columns), dtype=np.uint64)
    for column in columns.T:
        mixed = (mixed ^ column) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _different(values: npt.NDArray[Any]) -> tuple[Ints, Ints]:
    """Where each different value stands first, and which of them every value is."""
    order = np.argsort(values)
    ordered = values[order]
    is_new = np.ones(len(values), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_new[1:])
    which = np.empty(len(values), dtype=np.int64)
    which[order] = np.cumsum(is_new) - 1
    return order[is_new], which
