"""Generic instructions about a given text: who, when, why; summary, tense, question, negation, case and counting.

What comes in: a random generator and a split, whose scenes give the sentences. What goes out: instruction, text and answer.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mixwright.data.embedded.frames import draw_sentence
from mixwright.data.embedded.grammar import FUTURE_TIMES, PAST_TIMES, draw_event, scenes
from mixwright.data.embedded.words import sentence
from mixwright.records import Split

Drawn = tuple[str, str, str]


def _who(rng: Random, split: Split) -> Drawn:
    event = draw_event(rng, split)
    text = sentence(event.past(), rng.choice(PAST_TIMES), "because", event.scene.pick(rng, "because"))
    return f"Who {event.phrase('past')}? Answer from the text.", text, sentence(event.past())


def _why(rng: Random, split: Split) -> Drawn:
    event = draw_event(rng, split)
    reason = event.scene.pick(rng, "because")
    text = f"{sentence(rng.choice(PAST_TIMES) + ',', event.past())} The reason was that {reason}."
    return f"Why did {event.subject.text} {event.phrase('base')}?", text, sentence(event.past(), "because", reason)


def _when(rng: Random, split: Split) -> Drawn:
    event, time = draw_event(rng, split), rng.choice(PAST_TIMES)
    text = sentence(event.past(), event.scene.pick(rng, "at"), time)
    return f"When did {event.subject.text} {event.phrase('base')}?", text, sentence(event.past(), time)


def _summary(rng: Random, split: Split) -> Drawn:
    event = draw_event(rng, split)
    reason, result = event.scene.pick(rng, "because"), event.scene.pick(rng, "so")
    background = event.scene.pick(rng, "while")
    text = f"{sentence(reason)} {sentence(event.past(), rng.choice(PAST_TIMES))} At that time, {background}. In the end, {result}."
    ask = rng.choice(
        (
            "Summarize the text in one sentence.",
            "Sum up this paragraph in a single sentence.",
            "What is the main point of this text?",
        )
    )
    return ask, text, sentence(event.past(), "because", reason)


def _question(rng: Random, split: Split) -> Drawn:
    event, time = draw_event(rng, split), rng.choice(PAST_TIMES)
    ask = rng.choice(
        ("Turn this statement into a yes-or-no question.", "Write the sentence as a question that can be answered with yes or no.")
    )
    return ask, sentence(event.past(), time), sentence("did", event.subject.text, event.phrase("base"), time, end="?")


def _negation(rng: Random, split: Split) -> Drawn:
    event, time = draw_event(rng, split), rng.choice(PAST_TIMES)
    ask = rng.choice(("Make this sentence negative.", "Write the negative form of this sentence.", "Say that this did not happen."))
    return ask, sentence(event.past(), time), sentence(event.subject.text, "did not", event.phrase("base"), time)


def _future(rng: Random, split: Split) -> Drawn:
    event, time = draw_event(rng, split), rng.choice(FUTURE_TIMES)
    ask = rng.choice((f"Put this sentence into the future with the words '{time}'.", f"Say that this will happen {time}."))
    return ask, sentence(event.past()), sentence(event.subject.text, "will", event.phrase("base"), time)


def _upper(rng: Random, split: Split) -> Drawn:
    event = draw_event(rng, split)
    text = sentence(event.past())
    ask = rng.choice(("Write this text in capital letters.", "Convert the sentence to upper case."))
    return ask, text, text.upper()


def _count(rng: Random, split: Split) -> Drawn:
    text, _ = draw_sentence(rng, split)
    return (
        rng.choice(("How many words does this sentence have?", "Count the words in the text.")),
        text,
        f"It has {len(text.split())} words.",
    )


def _topic(rng: Random, split: Split) -> Drawn:
    event = draw_event(rng, split)
    others = [scene.name for scene in scenes(split) if scene is not event.scene]
    choices = rng.sample([event.scene.name, *rng.sample(others, 2)], 3)
    text = sentence(event.past(), "because", event.scene.pick(rng, "because"))
    return f"What is this text about: {choices[0]}, {choices[1]} or {choices[2]}?", text, f"It is about {event.scene.name}."


def _last_word(rng: Random, split: Split) -> Drawn:
    text, _ = draw_sentence(rng, split)
    words = text.rstrip(".?").split()
    place, word = rng.choice((("first", words[0]), ("last", words[-1]), ("second", words[1])))
    return f"What is the {place} word of this sentence?", text, f"It is '{word.strip(',')}'."


TEXT_KINDS: dict[str, Callable[[Random, Split], Drawn]] = {
    "who": _who,
    "why": _why,
    "when": _when,
    "summary": _summary,
    "question": _question,
    "negation": _negation,
    "future": _future,
    "upper case": _upper,
    "word count": _count,
    "topic": _topic,
    "word place": _last_word,
}
