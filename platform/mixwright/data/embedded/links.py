"""Coherence, paraphrasing and fluency: the same content, put together badly or in another way.

What comes in: a split and a random generator. What goes out: a text, its rewritten references and the key of its content.
Coherence joins choppy or wrongly linked sentences; paraphrasing gives other ways to say a sentence; fluency mends wording
that a reader understands and no native speaker would choose.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from random import Random

from mixwright.data.embedded.frames import draw_sentence
from mixwright.data.embedded.grammar import FUTURE_TIMES, PAST_TIMES, Event, draw_event, second_event
from mixwright.data.embedded.style import Row, apply, swaps, verb_rules, word_rules
from mixwright.data.embedded.words import lower_first, sentence
from mixwright.records import Split

_TIMES = "|".join(map(re.escape, sorted({*PAST_TIMES, *FUTURE_TIMES}, key=len, reverse=True)))


def coherence(rng: Random, split: Split) -> Row:
    """Choppy or wrongly linked sentences, and the same made one train of thought."""
    event = draw_event(rng, split)
    text, references = rng.choice(_BREAKS)(rng, event)
    return text, references, event.key


def _cause(rng: Random, event: Event) -> tuple[str, tuple[str, ...]]:
    reason = event.scene.pick(rng, "because")
    first, second = rng.sample((sentence(event.past()), sentence(reason)), 2)
    return f"{first} {second}", (
        sentence(event.past(), "because", reason),
        sentence(f"because {reason},", event.past()),
        sentence(f"{reason}, so", event.past()),
    )


def _contrast(rng: Random, event: Event) -> tuple[str, tuple[str, ...]]:
    obstacle = event.scene.pick(rng, "although")
    link = rng.choice(("", "", "For this reason, ", "Therefore, ", "As a result, "))
    parts = f"{sentence(obstacle)} {sentence(link + _after(link, event.past()))}"
    return parts, (
        sentence(f"although {obstacle},", event.past()),
        sentence(f"{event.past()}, even though", obstacle),
        f"{sentence(obstacle)} Even so, {event.past()}.",
    )


def _after(link: str, clause: str) -> str:
    return lower_first(clause) if link else clause


def _result(rng: Random, event: Event) -> tuple[str, tuple[str, ...]]:
    result = event.scene.pick(rng, "so")
    link = rng.choice(("", "", "However, ", "On the other hand, ", "For example, "))
    time = rng.choice(PAST_TIMES)
    return f"{sentence(event.past(), time)} {sentence(link + result)}", (
        sentence(event.past(), f"{time}, so", result),
        f"{sentence(event.past(), time)} As a result, {result}.",
    )


def _wrong_link(rng: Random, event: Event) -> tuple[str, tuple[str, ...]]:
    reason = event.scene.pick(rng, "because")
    wrong = rng.choice(("although", "even though", "so that", "but", "unless", "until"))
    comma = "" if wrong in ("so that", "until", "unless") else ","
    return sentence(event.past() + comma, wrong, reason), (
        sentence(event.past(), "because", reason),
        sentence(f"because {reason},", event.past()),
    )


def _wrong_contrast(rng: Random, event: Event) -> tuple[str, tuple[str, ...]]:
    obstacle = event.scene.pick(rng, "although")
    wrong = rng.choice(("because", "so that", "since", "therefore", "as"))
    return sentence(event.past(), wrong, obstacle), (
        sentence(f"{event.past()}, although", obstacle),
        sentence(f"although {obstacle},", event.past()),
    )


def _sequence(rng: Random, event: Event) -> tuple[str, tuple[str, ...]]:
    other = second_event(rng, event)
    time = rng.choice(PAST_TIMES)
    again = re.sub(r"^an? ", "the ", event.subject.text)
    return f"{sentence(event.past(), time)} {sentence(again, other.phrase('past'))}", (
        sentence(event.past(), f"{time} and then", other.phrase("past")),
        sentence(f"{event.past()} {time}. Then {event.subject.pronoun or again}", other.phrase("past")),
    )


def _three_steps(rng: Random, event: Event) -> tuple[str, tuple[str, ...]]:
    reason, result = event.scene.pick(rng, "because"), event.scene.pick(rng, "so")
    return f"{sentence(reason)} {sentence(event.past())} {sentence(result)}", (
        f"{sentence(f'because {reason},', event.past())} As a result, {result}.",
        f"{sentence(event.past(), 'because', reason)} Therefore, {result}.",
    )


def _loose_purpose(rng: Random, event: Event) -> tuple[str, tuple[str, ...]]:
    purpose = event.scene.pick(rng, "to")
    if not purpose:
        return _cause(rng, event)
    again = event.subject.pronoun or re.sub(r"^an? ", "the ", event.subject.text)
    return f"{sentence(event.past())} {sentence(again, 'wanted to', purpose)}", (
        sentence(event.past(), "to", purpose),
        sentence(f"{event.past()} because {again} wanted to", purpose),
    )


def _meanwhile(rng: Random, event: Event) -> tuple[str, tuple[str, ...]]:
    background = event.scene.pick(rng, "while")
    hint = rng.choice(("This was at the same time.", "Both happened at once.", "It was during that time."))
    return f"{sentence(background)} {sentence(event.past())} {hint}", (
        sentence(f"while {background},", event.past()),
        sentence(event.past(), "while", background),
    )


_BREAKS: tuple[Callable[[Random, Event], tuple[str, tuple[str, ...]]], ...] = (
    _cause, _cause, _contrast, _contrast, _result, _wrong_link, _wrong_contrast, _sequence, _three_steps,
    _loose_purpose, _meanwhile,
)  # fmt: skip


def paraphrasing(rng: Random, split: Split) -> Row:
    """A sentence and two or three others that say the same with other verbs, voices, connectives or clause orders."""
    while True:
        event = draw_event(rng, split)
        link = rng.choice(("because", "because", "although", "while", "time", "so", "purpose"))
        ways = _ways(rng, event, link)
        if len(ways) < 3:
            continue
        source, *others = rng.sample(ways, min(len(ways), 8))
        source = sentence(source)
        references = [apply(rng, way, swaps(way, word_rules("synonym", split)), 1) for way in map(sentence, others)]
        distinct = list(dict.fromkeys(reference for reference in references if reference != source))
        distinct.sort(key=lambda way: _overlap(source, way))  # the most reworded first: it is the one that is learned
        if len(distinct) >= 2:
            return source, tuple(distinct[:3]), event.key


def _overlap(left: str, right: str) -> float:
    """Share of word pairs of one text that stand in the other too."""
    pairs_left, pairs_right = (set(itertools.pairwise(words)) for words in (left.lower().split(), right.lower().split()))
    return len(pairs_left & pairs_right) / max(1, len(pairs_left))


def _cores(event: Event) -> list[str]:
    """The event's clause with every verb of its meaning, active and passive."""
    verbs = event.action.verbs
    return [event.past(verb) for verb in verbs] + [event.passive(verb) for verb in verbs if event.takes_passive(verb)]


def _ways(rng: Random, event: Event, link: str) -> list[str]:
    scene = event.scene
    if link == "purpose":
        purpose = scene.pick(rng, "to")
        actives = [event.past(verb) for verb in event.action.verbs]
        return (
            [way for core in actives for way in (f"{core} to {purpose}", f"to {purpose}, {core}", f"{core} in order to {purpose}")]
            if purpose
            else []
        )
    if link == "time":
        time = rng.choice(PAST_TIMES)
        place = scene.pick(rng, "at")
        return [way for core in _cores(event) for way in (f"{core} {place} {time}", f"{time}, {core} {place}")]
    clause = scene.pick(rng, link)
    frames = {
        "because": ("{core} because {clause}", "since {clause}, {core}", "{clause}, so {core}", "{clause}, and that is why {core}"),
        "although": (
            "{core}, although {clause}",
            "{clause}, but {core}",
            "even though {clause}, {core}",
            "{clause}; nevertheless, {core}",
        ),
        "while": ("while {clause}, {core}", "{core} while {clause}", "{core} at a time when {clause}"),
        "so": ("{core}, so {clause}", "because {core}, {clause}", "{clause} because {core}", "{core}. As a result, {clause}"),
    }[link]
    return [frame.format(core=core, clause=clause) for core in _cores(event) for frame in frames]


def fluency(rng: Random, split: Split) -> Row:
    """A sentence with wording that sounds translated, and the natural ones."""
    while True:
        text, event = draw_sentence(rng, split)
        awkward, clumsy = text, rng.choice((0, 1, 1))
        for habit in rng.sample(_HABITS, len(_HABITS)):
            changed = habit(rng, awkward, event) if clumsy else ""
            if changed:
                awkward, clumsy = changed, clumsy - 1
        places = swaps(awkward, word_rules("collocation", split)) + swaps(awkward, verb_rules("awkward verbs", split))
        if places and (awkward == text or rng.random() < 0.6):
            awkward = apply(rng, awkward, places, rng.choice((1, 2)))
        if awkward != text:
            return awkward, (text, *other_orders(text)), event.key


def other_orders(text: str) -> tuple[str, ...]:
    """The same sentence with its clauses or its time the other way round; empty where that could go wrong."""
    body = text.rstrip(".")
    if match := re.fullmatch(r"(Because|Although|Even though|While) ([^,]+), ([^,]+)", body):
        comma = "," if match[1] in ("Although", "Even though") else ""
        return (sentence(f"{match[3]}{comma} {match[1].lower()} {match[2]}"),)
    if match := re.fullmatch(r"([^,]+?),? (because|although) ([^,]+)", body):
        return (sentence(f"{match[2]} {match[3]}, {lower_first(match[1])}"),) if " wanted to know " not in body else ()
    if match := re.fullmatch(rf"({_TIMES}), ([^,]+)", lower_first(body)):
        return () if re.search(r" (that|to|and|until) ", match[2]) else (sentence(match[2], match[1]),)
    return ()


def _both_links(rng: Random, text: str, event: Event) -> str:
    """`Because ..., so ...` and `Although ..., but ...`, as many languages have it."""
    match = re.fullmatch(r"(Because|Although|Even though) ([^,]+), ([^,]+)", text)
    return f"{match[1]} {match[2]}, {'so' if match[1] == 'Because' else 'but'} {match[3]}" if match else ""


def _subject_twice(rng: Random, text: str, event: Event) -> str:
    pronoun, subject = event.subject.pronoun, event.subject.text
    start = text.lower().find(f"{subject.lower()} ")
    if not pronoun or start < 0 or f"by {subject}" in text or "?" in text or " took " in text.lower() or rng.random() < 0.6:
        return ""
    end = start + len(subject)
    return f"{text[:end]} {pronoun}{text[end:]}"


def _word_twice(rng: Random, text: str, event: Event) -> str:
    words = text.split()
    spots = [
        i
        for i, word in enumerate(words)
        if word in ("the", "to", "of", "in", "was", "were", "because", "that", "at", "and", "had", "is")
    ]
    if not spots or rng.random() < 0.7:
        return ""
    spot = rng.choice(spots)
    return " ".join([*words[:spot], words[spot], *words[spot:]])


def _no_comma(rng: Random, text: str, event: Event) -> str:
    return (
        text.replace(", ", " ", 1)
        if text.count(",") == 1 and text.split()[0] in ("Because", "Although", "While", "If", "Even")
        else ""
    )


def _time_in_the_middle(rng: Random, text: str, event: Event) -> str:
    """`painted last week the fence` for `painted the fence last week`."""
    phrase = event.phrase("past")
    match = re.search(rf"{re.escape(phrase)} (?:(?P<place>(?:at|in|on|near|behind) [\w ]+?) )?(?P<time>{_TIMES})\b", text)
    if not match:
        return ""
    verb = phrase.removesuffix(event.thing.text).strip()
    place = f" {match['place']}" if match["place"] else ""
    return f"{text[: match.start()]}{verb} {match['time']} {event.thing.text}{place}{text[match.end() :]}"


def _manner_after_verb(rng: Random, text: str, event: Event) -> str:
    """`painted carefully the fence` for `carefully painted the fence`."""
    manner = next((how for how in event.scene.lines.get("how", ()) if f" {how} {event.phrase('past')}" in text), "")
    verb = event.phrase("past").removesuffix(event.thing.text).strip()
    return text.replace(f" {manner} {verb} ", f" {verb} {manner} ", 1) if manner else ""


def _possession(rng: Random, text: str, event: Event) -> str:
    match = re.search(r"\bthe (\w+) of the (\w+)\b", text)
    return text[: match.start()] + f"the {match[2]} {match[1]}" + text[match.end() :] if match and rng.random() < 0.5 else ""


def _did_past(rng: Random, text: str, event: Event) -> str:
    """`did postponed` for `postponed`, the emphasis that is none."""
    clause = event.past()
    place = text.find(clause) + len(event.subject.text)
    return f"{text[:place]} did{text[place:]}" if clause in text and rng.random() < 0.4 else ""


_HABITS = (_both_links, _subject_twice, _word_twice, _no_comma, _time_in_the_middle, _manner_after_verb, _possession, _did_past)
