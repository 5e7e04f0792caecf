"""Scenes of everyday life, and the events that happen in them: who does what to what, why, when and where.

What comes in: the scenes' text, a random generator and a split. What goes out: an `Event`, from which frames.py makes plain
sentences and the tasks make theirs.

A scene is written as lines of `label: entry; entry`. `who` are subjects (`+`: plural; `{name}`: any first name), `do` is one
action, its verb first, then verbs of the same meaning, then the objects. The clauses under `because`, `although`, `so`,
`while` and `to` fit every action of the scene, `at` are places, `how` adverbs, `rel` facts about a person, and `habit` marks
scenes whose actions are also routine. The word after `|` is the split: whole scenes are held out, so that an evaluation
sentence has a topic, a vocabulary and reasons that no training sentence has.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from random import Random

from mixwright.data.embedded.scenes_home import HOME
from mixwright.data.embedded.scenes_town import TOWN
from mixwright.data.embedded.scenes_work import WORK
from mixwright.data.embedded.words import NAMES, WOMEN, inflect, word_list
from mixwright.records import Split

_COLLECTIVES = frozenset(
    word_list(
        "team staff club council company school shop museum service station desk crew orchestra choir band office newspaper garage "
        "group family shelter office center bakery class bank"
    )
)
PAST_TIMES = (
    "yesterday", "last Tuesday", "on Monday morning", "two weeks ago", "earlier this week", "last month", "on Friday afternoon",
    "a few days ago", "on Wednesday", "last weekend", "the day before yesterday", "at the beginning of May", "in March",
    "last Thursday", "three days ago", "one evening in October", "the other day", "on the first day of June", "last week",
)  # fmt: skip
FUTURE_TIMES = (
    "tomorrow", "next week", "on Saturday", "next month", "in the coming weeks", "by the end of June", "next Tuesday",
    "this afternoon", "in two days", "before the end of the year", "on the first of August",
)  # fmt: skip
_PARTICLES = frozenset(word_list("off out up down away back"))


@dataclass(frozen=True)
class Noun:
    """A noun phrase and how it is referred to."""

    text: str
    plural: bool = False
    person: bool = False
    """A human being or several; False for things and for bodies such as a team."""

    @property
    def pronoun(self) -> str:
        """he, she, they or it; empty where the text does not tell (the doctor)."""
        if self.plural:
            return "they"
        if self.text in NAMES:
            return "she" if self.text in WOMEN else "he"
        return "" if self.person else "it"

    @property
    def was(self) -> str:
        return "were" if self.plural else "was"

    @property
    def has(self) -> str:
        return "have" if self.plural else "has"


@dataclass(frozen=True)
class Action:
    """Verbs of one meaning, the plain one first, and what they can be done to."""

    verbs: tuple[str, ...]
    objects: tuple[Noun, ...]


@dataclass(frozen=True)
class Scene:
    """People, actions and circumstances that go together in any combination."""

    name: str
    split: Split
    who: tuple[str, ...]
    actions: tuple[Action, ...]
    lines: dict[str, tuple[str, ...]]

    def pick(self, rng: Random, label: str) -> str:
        """One entry of a label; empty where the scene has none."""
        entries = self.lines.get(label)
        return rng.choice(entries) if entries else ""

    @property
    def is_on_purpose(self) -> bool:
        """Whether people do these things because they want to; nobody plans to miss a train."""
        return "to" in self.lines


@dataclass(frozen=True)
class Event:
    """Who does what to what in which scene; tense, frame and circumstances come later."""

    scene: Scene
    subject: Noun
    action: Action
    verb: str
    thing: Noun

    @property
    def key(self) -> str:
        """What the sentence is about, whoever does it and however it is put."""
        return f"{self.scene.name}/{self.action.verbs[0]}"

    def phrase(self, form: str, verb: str = "") -> str:
        """Verb and object: `postponed the meeting`."""
        return f"{inflect(verb or self.verb, form)} {self.thing.text}"

    def past(self, verb: str = "") -> str:
        """The simple past clause: `the manager postponed the meeting`."""
        return f"{self.subject.text} {self.phrase('past', verb)}"

    def present(self) -> str:
        return f"{self.subject.text} {self.phrase('base' if self.subject.plural else 'third')}"

    @property
    def has_passive(self) -> bool:
        return self.takes_passive(self.verb)

    @staticmethod
    def takes_passive(verb: str) -> bool:
        """Whether a verb stands well in the passive; `was looked into by` does not."""
        words = verb.split()
        return verb not in ("miss", "have", "get") and (len(words) == 1 or (len(words) == 2 and words[1] in _PARTICLES))

    def passive(self, verb: str = "", *, agent: bool = True) -> str:
        """The passive past clause: `the meeting was postponed by the manager`."""
        by = f" by {self.subject.text}" if agent else ""
        return f"{self.thing.text} {self.thing.was} {inflect(verb or self.verb, 'participle')}{by}"


def _entries(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split(";"))


def _noun(text: str) -> Noun:
    return Noun(text.removesuffix("+"), plural=text.endswith("+"))


def _action(text: str) -> Action:
    verbs, _, objects = text.partition(":")
    return Action(tuple(verbs.split("/")), tuple(_noun(entry) for entry in _entries(objects)))


def _scene(block: str) -> Scene:
    head, *lines = block.strip().splitlines()
    name, _, split = head.partition(" | ")
    rows = [line.partition(": ")[::2] for line in lines]
    actions = tuple(_action(text) for label, text in rows if label == "do")
    clauses: dict[str, tuple[str, ...]] = {}
    for label, text in rows:
        clauses[label] = clauses.get(label, ()) + _entries(text)
    del clauses["do"]
    return Scene(name.strip("# "), split, clauses.pop("who"), actions, clauses)  # type: ignore[arg-type]


@functools.cache
def scenes(split: Split) -> tuple[Scene, ...]:
    """The scenes that belong to a split."""
    blocks = [block for text in (WORK, HOME, TOWN) for block in text.strip().split("\n\n")]
    return tuple(scene for scene in map(_scene, blocks) if scene.split == split)


def _subject(rng: Random, entry: str) -> Noun:
    if "{name}" in entry:
        names = rng.sample(NAMES, 2)
        text = entry.replace("{name}", names[0], 1).replace("{name}", names[1])
        return Noun(text.removesuffix("+"), plural=entry.endswith("+"), person=True)
    noun = _noun(entry)
    head = noun.text.split(" of ")[0].split(" at ")[0].split(" in ")[0].split()[-1]
    return Noun(noun.text, noun.plural, person=noun.plural or head not in _COLLECTIVES)


def draw_event(rng: Random, split: Split, *, plain: bool = False) -> Event:
    """A random event of a split; `plain` takes the plainest verb of its action."""
    scene = rng.choice(scenes(split))
    action = rng.choice(scene.actions)
    verb = action.verbs[0] if plain else rng.choice(action.verbs)
    return Event(scene, _subject(rng, rng.choice(scene.who)), action, verb, rng.choice(action.objects))


def second_event(rng: Random, first: Event) -> Event:
    """Another action of the same subject in the same scene."""
    others = [action for action in first.scene.actions if action is not first.action]
    action = rng.choice(others)
    return Event(first.scene, first.subject, action, rng.choice(action.verbs), rng.choice(action.objects))


def relative(rng: Random, event: Event) -> str:
    """A fact about a personal subject, agreeing with it; empty where the scene has none or the subject is no person."""
    fact = event.scene.pick(rng, "rel") if event.subject.person else ""
    if event.subject.plural and fact.startswith("was "):
        fact = "were" + fact[3:]
    return fact
