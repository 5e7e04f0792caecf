"""Grammaticality: the slips that writers and learners make, put into a clean sentence.

What comes in: a clean sentence. What goes out: the same sentence with one to three slips: agreement, articles, prepositions,
verb forms, noun number, pronouns, word order, missing words, capitals, punctuation and spelling. Every kind of slip looks
for the places where it could happen; one place is chosen, kinds first, so that a frequent word does not decide the mix.

Spelling comes from a list of common confusions and from rules of the keyboard and the ear. A part of the list
is kept out of training (`vocabulary`), and the words of held-out scenes meet the rules in evaluation alone.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from mixwright.data.embedded import tables_errors
from mixwright.data.embedded.frames import draw_sentence
from mixwright.data.embedded.grammar import scenes
from mixwright.data.embedded.vocabulary import available, pairs
from mixwright.data.embedded.words import IRREGULAR_VERBS, NAMES, inflect, word_list
from mixwright.records import SPLITS, Split

CLEAN_SHARE = 0.1
"""Share of grammaticality rows whose text is already right, so that a model learns to leave such text alone."""


class Edit(NamedTuple):
    """Words `start` to `end` (not included) become `words`."""

    start: int
    end: int
    words: tuple[str, ...]


Words = list[str]
Slip = Callable[[Random, Words, Split], Iterator[Edit]]

_TOKEN = re.compile(r"[\w'-]+|[^\w\s]")
_AGREEMENT = {
    "was": "were", "were": "was", "has": "have", "have": "has", "is": "are", "are": "is", "does": "do", "do": "does",
}  # fmt: skip
_AUXILIARIES = frozenset(word_list("was were be been being has have had is are"))
_BEFORE_BASE = frozenset(word_list("to will would did should could not"))
_DAYS = frozenset(word_list("Monday Tuesday Wednesday Thursday Friday Saturday Sunday Mondays Fridays Saturdays Sundays"))
_MONTHS = frozenset(word_list("January March April May June August October"))
_QUANTIFIERS = frozenset(
    word_list("two three four six ten twelve thirty forty fifty sixty many several few both all these most some")
)
_PEOPLE_BY_FORM = {"children": "childs", "people": "peoples", "themselves": "theirselves", "himself": "hisself"}
_UNCOUNTABLE = frozenset(
    word_list(
        "money traffic furniture information homework equipment music insurance luggage research damage work rain food fruit bread "
        "rice water snow help advice software noise training medicine effort staff weather"
    )
)
_PREPOSITION_AFTER = pairs(tables_errors.PREPOSITION)
_PLACE_SWAPS = pairs(tables_errors.PLACE)
_PRONOUNS = pairs(tables_errors.PRONOUN)
_COMPARISONS = pairs(tables_errors.COMPARISON)
_EAR = pairs(tables_errors.EAR)
_DROPPABLE = frozenset(word_list("to was were has have is are been that had did be will it there of for"))
_MORE_VERBS = frozenset(
    word_list("want decide agree plan promise need ask try warn offer complain damage close start finish notice explain")
)
_ADVERBS = frozenset(
    word_list(
        "quickly carefully slowly quietly gladly patiently politely happily gently finally proudly safely loudly neatly secretly"
    )
)


def tokens(text: str) -> Words:
    """Words and punctuation marks, in order; `detokenize` is the way back."""
    return _TOKEN.findall(text)


def detokenize(words: Words) -> str:
    text = " ".join(word for word in words if word)
    return re.sub(r" ([.,?!:;])", r"\1", text)


@functools.cache
def _verb_forms() -> dict[str, tuple[str, frozenset[str]]]:
    """Surface form -> (lemma, the forms that it can be), over the verbs of all scenes and a few more."""
    lemmas = {verb.split()[0] for split in SPLITS for scene in scenes(split) for action in scene.actions for verb in action.verbs}
    lemmas |= IRREGULAR_VERBS | _MORE_VERBS
    found: dict[str, tuple[str, set[str]]] = {}
    for lemma in sorted(lemmas - {"be", "have", "do"}):
        for form in ("base", "third", "past", "participle", "ing"):
            found.setdefault(inflect(lemma, form), (lemma, set()))[1].add(form)
    return {surface: (lemma, frozenset(forms)) for surface, (lemma, forms) in found.items()}


def _agreement(rng: Random, words: Words, split: Split) -> Iterator[Edit]:
    verbs = _verb_forms()
    for i, word in enumerate(words):
        if word in _AGREEMENT and not (word == "have" and words[i - 1] in ("could", "should", "would")):
            yield Edit(i, i + 1, (_AGREEMENT[word],))
        elif i and word in verbs and verbs[word][1] == {"third"} and words[i - 1] not in ("the", "a", "all", "of"):
            yield Edit(i, i + 1, (verbs[word][0],))


def _article(rng: Random, words: Words, split: Split) -> Iterator[Edit]:
    for i, word in enumerate(words):
        if word in ("a", "an"):
            yield Edit(i, i + 1, rng.choice(((), ("an",) if word == "a" else ("a",), ())))
        elif word == "the":
            yield Edit(i, i + 1, ())
        elif (word in NAMES and rng.random() < 0.2 and i) or (
            word in ("last", "next") and words[i + 1] in ("week", "month", "weekend", "year", "summer", "Tuesday", "Thursday")
        ):
            yield Edit(i, i, ("the",))
        elif word in _UNCOUNTABLE and words[i - 1] in ("much", "some", "more", "of", "for", "about"):
            yield Edit(i, i, ("a",))


def _preposition(rng: Random, words: Words, split: Split) -> Iterator[Edit]:
    for i in range(1, len(words) - 1):
        before, word, after = words[i - 1], words[i], words[i + 1]
        if wrong := _PREPOSITION_AFTER.get(f"{before} {word}"):
            yield Edit(i, i + 1, tuple(rng.choice(wrong).split()))
        elif word == "on" and after in _DAYS:
            yield Edit(i, i + 1, (rng.choice(("in", "at")),))
        elif word == "in" and after in _MONTHS:
            yield Edit(i, i + 1, (rng.choice(("on", "at")),))
        elif (word in _PLACE_SWAPS and after in ("the", "a", "an", "my", "our")) or (word == "by" and after in NAMES):
            yield Edit(i, i + 1, tuple(rng.choice(_PLACE_SWAPS[word]).split()))
        elif word == "for" and before not in ("asked", "care") and after in ("two", "several", "weeks", "hours"):
            yield Edit(i, i + 1, ("since",))
        elif word == "since" and (after in _DAYS or after in ("the", "early")):
            yield Edit(i, i + 1, (rng.choice(("for", "from")),))


def _verb_form(rng: Random, words: Words, split: Split) -> Iterator[Edit]:
    verbs = _verb_forms()
    for i in range(1, len(words)):
        word, before = words[i], words[i - 1]
        if word not in verbs:
            continue
        lemma, forms = verbs[word]
        if before in _AUXILIARIES or (
            before in ("already", "just", "finally", "still", "not", "been") and words[i - 2] in _AUXILIARIES
        ):
            yield from _wrong(rng, i, word, lemma, ("base", "third") if "ing" in forms else ("base", "ing", "past"))
        elif "past" in forms and before not in ("the", "a", "an", "of", "my", "our", "all", "two", "three", "some", "most"):
            yield from _wrong(rng, i, word, lemma, ("base", "base", "ing", "third"))
        elif "base" in forms and before in _BEFORE_BASE:
            yield from _wrong(rng, i, word, lemma, ("past", "ing", "third"))
        elif "ing" in forms and before in (
            "After",
            "Before",
            "before",
            "after",
            "for",
            "in",
            "at",
            "of",
            "about",
            "to",
            "on",
            "enjoys",
            "enjoy",
        ):
            yield from _wrong(rng, i, word, lemma, ("base", "past"))


def _wrong(rng: Random, i: int, word: str, lemma: str, forms: tuple[str, ...]) -> Iterator[Edit]:
    if lemma in IRREGULAR_VERBS and rng.random() < 0.15:
        wrong = lemma + ("d" if lemma.endswith("e") else "ed")
    else:
        wrong = inflect(lemma, rng.choice(forms))
    if wrong != word:
        yield Edit(i, i + 1, (wrong,))


def _number(rng: Random, words: Words, split: Split) -> Iterator[Edit]:
    for i in range(1, len(words)):
        word, near = words[i], words[max(0, i - 3) : i]
        lower = {item.lower() for item in near}
        if word in _PEOPLE_BY_FORM:
            yield Edit(i, i + 1, (_PEOPLE_BY_FORM[word],))
        elif word in _UNCOUNTABLE and words[i - 1] not in ("to", "for"):
            yield Edit(i, i + 1, (word + "s",))
        elif lower & _QUANTIFIERS and word.endswith("s") and len(word) > 3 and not word.endswith(("ss", "us", "is", "'s")):
            yield Edit(i, i + 1, (_singular(word),))
        elif (
            words[i - 1] in ("each", "every", "Every", "another")
            and word.isalpha()
            and not word.endswith("s")
            and word not in NAMES
        ):
            yield Edit(i, i + 1, (_plural(word),))


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("lves") or word in ("loaves", "knives"):
        return word[:-3] + ("fe" if word == "knives" else "f")
    return word[:-2] if word.endswith(("sses", "shes", "ches", "xes", "toes")) else word[:-1]


def _plural(word: str) -> str:
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "sh", "ch", "x")) else "s")


def _pronoun(rng: Random, words: Words, split: Split) -> Iterator[Edit]:
    for i, word in enumerate(words):
        if word in _PRONOUNS:
            yield Edit(i, i + 1, tuple(rng.choice(_PRONOUNS[word]).split()))


def _missing(rng: Random, words: Words, split: Split) -> Iterator[Edit]:
    for i, word in enumerate(words):
        if i and word in _DROPPABLE and words[i + 1] not in ",.?":
            yield Edit(i, i + 1, ())


def _order(rng: Random, words: Words, split: Split) -> Iterator[Edit]:
    verbs = _verb_forms()
    for i in range(1, len(words) - 2):
        word, after = words[i], words[i + 1]
        if (word in _ADVERBS and after in verbs) or (word in ("not", "already", "just", "still", "never") and after in verbs):
            yield Edit(i, i + 2, (after, word))
        elif word in ("was", "were") and words[i - 1] in ("clearly", "always"):
            yield Edit(i - 1, i + 1, (word, words[i - 1]))
        elif (word in ("too", "very", "almost", "only") and after.isalpha() and after not in ("a", "the")) or (
            word in ("new", "old", "small", "large", "heavy", "young", "broken", "wooden", "main", "last", "final")
            and after.isalpha()
            and words[i - 1] in ("the", "a", "an")
        ):
            yield Edit(i, i + 2, (after, word))
    if "why" in words and {"was", "were"} & set(words):
        place = min(words.index(word) for word in ("was", "were") if word in words)
        start = words.index("why") + 1
        if start < place:
            yield Edit(start, place + 1, (words[place], *words[start:place]))


def _comparison(rng: Random, words: Words, split: Split) -> Iterator[Edit]:
    for i, word in enumerate(words):
        if word in _COMPARISONS and not (word == "difficult" and words[i - 1] != "more"):
            start = i - 1 if word in ("difficult", "expensive") and words[i - 1] == "more" else i
            yield Edit(start, i + 1, tuple(rng.choice(_COMPARISONS[word]).split()))


def _surface(rng: Random, words: Words, split: Split) -> Iterator[Edit]:
    for i, word in enumerate(words):
        if (word in _DAYS or word in _MONTHS) and i:
            yield Edit(i, i + 1, (word.lower(),))
        elif word == "," and i > 2:
            yield Edit(i, i + 1, ())
        elif word in ("that", "because") and 0 < i < len(words) - 1 and words[i - 1] != ",":
            yield Edit(i, i, (",",))


def _spelling(rng: Random, words: Words, split: Split) -> Iterator[Edit]:
    listed = available("spelling", split)
    for i, word in enumerate(words):
        if wrong := listed.get(word.lower()):
            yield Edit(i, i + 1, (_cased(rng.choice(wrong), word),))
        elif len(word) > 5 and word.isalpha() and word.islower() and rng.random() < 0.35:
            yield Edit(i, i + 1, (misspell(rng, word),))


def _cased(word: str, like: str) -> str:
    return word[0].upper() + word[1:] if like[0].isupper() else word


_DOUBLE = re.compile(r"([bcdfglmnoprst])\1")


def misspell(rng: Random, word: str) -> str:
    """A likely misspelling of a word of six letters or more: by ear, a doubled or single letter, or a slip of the fingers."""
    heard = [(sound, wrong) for sound, wrong in _EAR.items() if sound in word[1:]]
    doubled = _DOUBLE.search(word)
    kind = rng.random()
    if heard and kind < 0.4:
        sound, wrong = rng.choice(heard)
        return word[0] + word[1:].replace(sound, rng.choice(wrong), 1)
    if doubled and kind < 0.7:
        return word[: doubled.start()] + word[doubled.start() + 1 :]
    spots = [i for i in range(1, len(word) - 2) if word[i] != word[i + 1]]
    i = rng.choice(spots)
    if kind < 0.8:
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    if kind < 0.9 and word[i] in "lmnprst":
        return word[:i] + word[i] + word[i:]
    return word[:i] + word[i + 1 :]


SLIPS: dict[str, tuple[Slip, float]] = {
    "agreement": (_agreement, 1.4),
    "article": (_article, 1.2),
    "preposition": (_preposition, 1.2),
    "verb form": (_verb_form, 1.6),
    "number": (_number, 1.2),
    "pronoun": (_pronoun, 0.8),
    "missing": (_missing, 0.6),
    "order": (_order, 0.7),
    "comparison": (_comparison, 0.7),
    "surface": (_surface, 0.5),
    "spelling": (_spelling, 1.4),
}
"""Kinds of slip and how often each is tried."""


def add_slips(rng: Random, text: str, split: Split, count: int) -> str:
    """The sentence with up to `count` slips of different kinds, no two at the same place."""
    words = tokens(text)
    names = list(SLIPS)
    names.sort(
        key=lambda name: rng.random() ** (1.0 / SLIPS[name][1]), reverse=True
    )  # a weighted order (Efraimidis, Spirakis 2006)
    chosen: list[Edit] = []
    for name in names:
        if len(chosen) == count:
            break
        places = [edit for edit in SLIPS[name][0](rng, words, split) if not any(_touch(edit, other) for other in chosen)]
        if places:
            chosen.append(rng.choice(places))
    for edit in sorted(chosen, reverse=True):
        words[edit.start : edit.end] = edit.words
    damaged = detokenize(words)
    return damaged[0].upper() + damaged[1:]


def _touch(edit: Edit, other: Edit) -> bool:
    return edit.start <= other.end and other.start <= edit.end


def grammaticality(rng: Random, split: Split) -> tuple[str, tuple[str, ...], str]:
    """Damaged sentence, the right one, and the key of its content."""
    text, event = draw_sentence(rng, split)
    if rng.random() < CLEAN_SHARE:
        return text, (text,), event.key
    return add_slips(rng, text, split, rng.choices((1, 2, 3), (4, 4, 2))[0]), (text,), event.key
