"""Clarity, simplification and neutralization: a crisp, plain or neutral sentence made wordy, hard or loaded.

What comes in: a split and a random generator. What goes out: the worse sentence, its rewritten references and the key of its
content. The reference is written first and then made worse, so that a reference never sounds like a repair.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from mixwright.data.embedded.frames import draw_sentence
from mixwright.data.embedded.grammar import Event, draw_event, relative, second_event
from mixwright.data.embedded.vocabulary import available, available_entries
from mixwright.data.embedded.words import inflect, lower_first, sentence, word_list
from mixwright.records import Split

Row = tuple[str, tuple[str, ...], str]
"""Text, references and the key of the content."""

_MIN_WORDY = 2
_DETERMINER = re.compile(
    r"^(the two|the|a|an|all the|all of the|both|both of the|each of the|most of the|one of the|my|our|every|two|three|six)\b "
)


@dataclass(frozen=True)
class Swap:
    """One place in a text and what it may become."""

    start: int
    end: int
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Rule:
    """A pattern over whole words and its worse variants."""

    pattern: re.Pattern[str]
    anchor: str
    """A whole word that every match holds."""
    choices: tuple[str, ...]


Rules = dict[str, tuple[Rule, ...]]
"""Rules by their anchor: only those whose anchor stands in a text are tried on it."""
_WORD = re.compile(r"[\w'-]+")
_NOT_PURPOSE = frozenset(
    word_list(
        "decided had wanted agreed planned promised chose needed easier harder cheaper quicker difficult important late early time "
        "helpers than going hours days week month minutes morning forward used able hard tried going how"
    )
)
"""Words after which `to` opens no clause of purpose."""
_PARTICLES = "up|off|out|down|away|back|in|on|over|for|after|into|through|short|about"


@functools.cache
def word_rules(name: str, split: Split) -> Rules:
    """A table as patterns over whole words; keys may use lookarounds."""
    return _by_anchor(_rule(key, choices) for key, choices in available(name, split).items())


@functools.cache
def verb_rules(name: str, split: Split) -> Rules:
    """A table of lemmas as patterns over their forms; a bare form counts only where a verb must stand."""
    rules: dict[str, tuple[str, ...]] = {}
    for key, choices in available(name, split).items():
        for form, pattern in (
            ("participle", r"(?<=\b{aux} ){verb}"),
            ("past", r"(?<!\bthe )(?<!\bof )(?<!\ba )(?<!\bto )(?<!\bwill )(?<!\bnot ){verb}"),
            ("base", r"(?:(?<=\bto )|(?<=\bwill )|(?<=\bnot )){verb}"),
            ("ing", r"(?:(?<=[Aa]fter )|(?<=[Bb]efore )|(?<=still )|(?<=been )|(?<=about )|(?<=for )|(?<=enjoys )){verb}"),
        ):
            changed = tuple(inflect(choice, form) for choice in choices)
            for aux in ("was", "were", "been", "has", "have", "had") if form == "participle" else ("",):
                whole = "" if " " in key else rf"(?! (?:{_PARTICLES})\b)"
                rules[pattern.format(verb=inflect(key, form), aux=aux) + whole] = changed
    return _by_anchor(_rule(key, choices) for key, choices in rules.items())


@functools.cache
def nominal_rules(split: Split) -> Rules:
    """Past forms -> light verb and noun: `checked` -> `carried out a check of`."""
    table = available("nominal", split)
    never = r"(?<!\bwas )(?<!\bwere )(?<!\bbeen )(?<!\bhas )(?<!\bhave )(?<!\bhad )(?<!already )(?<!just )(?<!finally )(?<!never )"
    return _by_anchor(
        _rule(never + inflect(verb, "past") + r" (?=(?:the|a|an|all|two|three|six|every|each|my|our)\b)", choices)
        for verb, choices in table.items()
    )


def _by_anchor(rules: Iterable[Rule]) -> Rules:
    found: dict[str, tuple[Rule, ...]] = {}
    for rule in rules:
        found[rule.anchor] = (*found.get(rule.anchor, ()), rule)
    return found


def _rule(key: str, choices: tuple[str, ...]) -> Rule:
    head = "" if key[0] == "," else r"(?<![\w'-])"
    tail = "" if key[-1] in ") " else r"(?![\w'-])"
    literal = re.sub(r"\(\?:.*?\)\)?|\(\?[=!<].*?\)|\[.*?\]", "|", key)
    return Rule(re.compile(f"{head}(?:{key}){tail}"), max(re.findall(r"[a-z0-9'-]+", literal), key=len), choices)


def swaps(text: str, rules: Rules) -> list[Swap]:
    """Every place of a text that the rules could change."""
    lowered = lower_first(text)
    return [
        Swap(*match.span(), rule.choices)
        for anchor in dict.fromkeys(_WORD.findall(lowered))
        for rule in rules.get(anchor, ())
        for match in rule.pattern.finditer(lowered)
        if not match[0].startswith("to ") or _word_before(lowered, match.start()) not in _NOT_PURPOSE
    ]


def _word_before(text: str, place: int) -> str:
    return text[:place].rpartition(" ")[0].rpartition(" ")[2]


def apply(rng: Random, text: str, places: list[Swap], count: int) -> str:
    """The text with up to `count` of the places changed, none overlapping; edge commas and spaces stay as they were."""
    chosen: list[Swap] = []
    for place in rng.sample(places, len(places)):
        if len(chosen) < count and all(place.end <= other.start or other.end <= place.start for other in chosen):
            chosen.append(place)
    for place in sorted(chosen, key=lambda place: place.start, reverse=True):
        old, new = text[place.start : place.end], rng.choice(place.choices)
        new = f", {new}" if old.startswith(",") else new
        new = f"{new} " if old.endswith(" ") else new
        text = text[: place.start] + new + text[place.end :]
    return sentence(text)


def clarity(rng: Random, split: Split) -> Row:
    """A crisp sentence, padded."""
    while True:
        crisp, event = draw_sentence(rng, split)
        places = swaps(crisp, word_rules("wordy", split)) + swaps(crisp, nominal_rules(split))
        opened = rng.random() < 0.3
        count = rng.choice((1, 2, 2)) if opened else rng.choice((2, 2, 3))
        if len(places) < (1 if opened else _MIN_WORDY):
            continue
        wordy = apply(rng, crisp, places, count)
        if opened and not crisp.endswith("?"):
            wordy = sentence(rng.choice(available_entries("padding", split)), lower_first(wordy))
        return wordy, (crisp,), event.key


def neutralization(rng: Random, split: Split) -> Row:
    """A neutral sentence, made to take sides."""
    while True:
        neutral, event = draw_sentence(rng, split)
        text, left = neutral, rng.choice((1, 2, 2, 3))
        for slant in rng.sample(_SLANTS, len(_SLANTS)):
            slanted = slant(rng, text, event, split) if left else ""
            if slanted:
                text, left = slanted, left - 1
        if text != neutral:
            return sentence(text), (neutral,), event.key


def _slant_subject(rng: Random, text: str, event: Event, split: Split) -> str:
    return _qualified(rng, text, event.subject.text, available_entries("people" if event.subject.person else "things", split))


def _slant_object(rng: Random, text: str, event: Event, split: Split) -> str:
    return _qualified(rng, text, event.thing.text, available_entries("things", split))


def _qualified(rng: Random, text: str, phrase: str, adjectives: tuple[str, ...]) -> str:
    match = _DETERMINER.match(phrase)
    start = text.lower().find(phrase.lower())
    if not match or start < 0:
        return ""
    place = start + match.end()
    return text[:place] + rng.choice(adjectives) + " " + text[place:]


def _slant_manner(rng: Random, text: str, event: Event, split: Split) -> str:
    clause = f"{event.subject.text} {event.phrase('past')}"
    start = text.lower().find(clause.lower())
    if start < 0:
        return ""
    place = start + len(event.subject.text) + 1
    return text[:place] + rng.choice(available_entries("adverbs", split)) + " " + text[place:]


def _slant_opening(rng: Random, text: str, event: Event, split: Split) -> str:
    if rng.random() < 0.5 or text.endswith("?"):
        return ""
    return f"{rng.choice(available_entries('openers', split))} {lower_first(text)}"


def _slant_ending(rng: Random, text: str, event: Event, split: Split) -> str:
    if rng.random() < 0.5 or text.count(",") > 1 or text.endswith("?"):
        return ""
    return text.rstrip(".") + ", " + rng.choice(available_entries("closers", split)) + "."


def _slant_verb(rng: Random, text: str, event: Event, split: Split) -> str:
    places = swaps(text, word_rules("loaded verbs", split))
    return apply(rng, text, places, 1) if places else ""


_SLANTS = (_slant_subject, _slant_object, _slant_manner, _slant_opening, _slant_ending, _slant_verb, _slant_verb)


def simplification(rng: Random, split: Split) -> Row:
    """Plain sentences, fused and put into rare words."""
    while True:
        build = rng.choice((_words_alone, _words_alone, _words_alone, _fact_clause, _having, _consequence, _owing))
        plan = build(rng, split)
        if not plan:
            continue
        fused, references, key = plan
        places = swaps(fused, word_rules("complex words", split)) + swaps(fused, verb_rules("complex verbs", split))
        if len(places) >= 2:
            return apply(rng, fused, places, rng.choice((2, 3, 4))), references, key


def _plain_event(rng: Random, split: Split) -> Event:
    return draw_event(rng, split, plain=True)


def _words_alone(rng: Random, split: Split) -> Row | None:
    text, event = draw_sentence(rng, split, plain=True)
    return text, (text,), event.key


def _again(event: Event) -> str:
    """How a second sentence takes up the subject: a pronoun where it is clear, else the noun."""
    return event.subject.pronoun or re.sub(r"^an? ", "the ", event.subject.text)


def _fact_clause(rng: Random, split: Split) -> Row | None:
    event = _plain_event(rng, split)
    fact, reason = relative(rng, event), event.scene.pick(rng, "because")
    if not fact:
        return None
    fused = sentence(f"{event.subject.text}, who {fact}, {event.phrase('past')} because {reason}")
    parts = f"{sentence(event.subject.text, fact)} {sentence(_again(event), event.phrase('past'), 'because', reason)}"
    return fused, (parts, fused), event.key


def _having(rng: Random, split: Split) -> Row | None:
    first = _plain_event(rng, split)
    other = second_event(rng, first)
    other = Event(first.scene, first.subject, other.action, other.action.verbs[0], other.thing)
    reason = first.scene.pick(rng, "because")
    opening = rng.choice(("having", "having", "after having", "subsequent to having"))
    fused = sentence(f"{opening} {first.phrase('participle')}, {other.past()} because {reason}")
    split_up = f"{sentence(first.past())} Then {_again(first)} {other.phrase('past')} because {reason}."
    joined = sentence(f"{first.past()} and then {other.phrase('past')} because {reason}")
    return fused, (split_up, joined), first.key


_CONSEQUENCES = (
    "the consequence of which was that", "which had the effect that", "with the result that", "in consequence of which",
    "a measure which led to the situation that", "as a consequence of which", "which is the reason why",
)  # fmt: skip


def _consequence(rng: Random, split: Split) -> Row | None:
    event = _plain_event(rng, split)
    reason, result = event.scene.pick(rng, "because"), event.scene.pick(rng, "so")
    fused = sentence(f"because {reason}, {event.past()}, {rng.choice(_CONSEQUENCES)} {result}")
    return (
        fused,
        (f"{sentence(event.past(), 'because', reason)} So {result}.", f"{sentence(reason)} So {event.past()}, and {result}."),
        event.key,
    )


def _owing(rng: Random, split: Split) -> Row | None:
    event = _plain_event(rng, split)
    obstacle = event.scene.pick(rng, "although")
    if not event.has_passive:
        return None
    done = rng.choice((f"it was by {event.subject.text} that {event.passive(agent=False)}", event.passive()))
    fused = sentence(f"although {obstacle}, {done}")
    return (
        fused,
        (
            sentence(event.past(), "although", obstacle).replace(" although", ", although"),
            f"{sentence(obstacle)} But {event.past()}.",
        ),
        event.key,
    )
