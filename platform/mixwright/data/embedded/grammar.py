"""Clean English sentences: scenes of everyday life, and the frames that turn a scene's events into sentences.

What comes in: a random generator and a split. What goes out: an `Event` (who did what, when, where, why) for the tasks that
rebuild sentences, and plain sentences for the tasks that damage or decorate them.

A scene is written as lines of `label: entry; entry`. `who` are subjects (`+`: plural; `{name}`: any first name), `do` is one
action, its verb first, then verbs of the same meaning, then the objects. The clauses under `because`, `although`, `so`,
`while` and `to` fit every action of the scene, `at` are places, `how` adverbs, `rel` facts about a person, and `habit` marks
scenes whose actions are also routine. The word after `|` is the split: whole scenes are held out, so that an evaluation
sentence has a topic, a vocabulary and reasons that no training sentence has.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from mixwright.data.embedded.scenes_home import HOME
from mixwright.data.embedded.scenes_town import TOWN
from mixwright.data.embedded.scenes_work import WORK
from mixwright.data.embedded.words import NAMES, WOMEN, inflect, sentence, word_list
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
_ATTEMPTS = ("decided to", "had to", "wanted to", "agreed to", "planned to", "promised to", "chose to", "needed to")
_DURATIONS = ("two hours", "almost three days", "a whole week", "nearly a month", "only twenty minutes", "most of the morning")


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
    def objective(self) -> str:
        """The pronoun as an object: them or it."""
        return "them" if self.plural else "it"

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


def circumstance(rng: Random, scene: Scene) -> str:
    """A place, a past time or both, as they stand at the end of a sentence."""
    place, time = scene.pick(rng, "at"), rng.choice(PAST_TIMES)
    return rng.choice((place, time, f"{place} {time}"))


def relative(rng: Random, event: Event) -> str:
    """A fact about a personal subject, agreeing with it; empty where the scene has none or the subject is no person."""
    fact = event.scene.pick(rng, "rel") if event.subject.person else ""
    if event.subject.plural and fact.startswith("was "):
        fact = "were" + fact[3:]
    return fact


# Frames: each returns a whole sentence without its capital and full stop, or an empty string where it does not fit.
Frame = Callable[[Random, Event], str]


def _simple(rng: Random, event: Event) -> str:
    return f"{event.past()} {circumstance(rng, event.scene)}"


def _time_first(rng: Random, event: Event) -> str:
    return f"{rng.choice(PAST_TIMES)}, {event.past()} {event.scene.pick(rng, 'at')}"


def _because(rng: Random, event: Event) -> str:
    return f"{event.past()} because {event.scene.pick(rng, 'because')}"


def _because_first(rng: Random, event: Event) -> str:
    return f"because {event.scene.pick(rng, 'because')}, {event.past()}"


def _although(rng: Random, event: Event) -> str:
    return f"{event.past()}, although {event.scene.pick(rng, 'although')}"


def _although_first(rng: Random, event: Event) -> str:
    return f"{rng.choice(('although', 'even though'))} {event.scene.pick(rng, 'although')}, {event.past()}"


def _so(rng: Random, event: Event) -> str:
    return f"{event.past()} {rng.choice(PAST_TIMES)}, so {event.scene.pick(rng, 'so')}"


def _while(rng: Random, event: Event) -> str:
    return f"while {event.scene.pick(rng, 'while')}, {event.past()}"


def _purpose(rng: Random, event: Event) -> str:
    purpose = event.scene.pick(rng, "to")
    return f"{event.past()} {rng.choice((rng.choice(PAST_TIMES), ''))} to {purpose}".replace("  ", " ") if purpose else ""


def _relative(rng: Random, event: Event) -> str:
    fact = relative(rng, event)
    return f"{event.subject.text}, who {fact}, {event.phrase('past')} {rng.choice(PAST_TIMES)}" if fact else ""


def _two_actions(rng: Random, event: Event) -> str:
    return f"{rng.choice(PAST_TIMES)}, {event.past()} and {second_event(rng, event).phrase('past')}"


def _after(rng: Random, event: Event) -> str:
    link = rng.choice(("after", "before"))
    return f"{link} {event.phrase('ing')}, {second_event(rng, event).past()} {event.scene.pick(rng, 'at')}"


def _with_manner(rng: Random, event: Event) -> str:
    manner = event.scene.pick(rng, "how")
    return f"{event.subject.text} {manner} {event.phrase('past')} {circumstance(rng, event.scene)}" if manner else ""


def _perfect(rng: Random, event: Event) -> str:
    extra = rng.choice(("for the third time", "twice this year", "", ""))
    already = "" if extra else rng.choice(("already ", "just ", "finally "))
    return f"{event.subject.text} {event.subject.has} {already}{event.phrase('participle')} {extra}".strip()


def _future(rng: Random, event: Event) -> str:
    purpose = event.scene.pick(rng, "to")
    will = rng.choice(("will", "are going to" if event.subject.plural else "is going to"))
    return f"{rng.choice(FUTURE_TIMES)}, {event.subject.text} {will} {event.phrase('base')} to {purpose}" if purpose else ""


def _habit(rng: Random, event: Event) -> str:
    habit = event.scene.pick(rng, "habit")
    where = rng.choice((event.scene.pick(rng, "at"), ""))
    return f"{habit}, {event.present()} {where}".strip() if habit else ""


def _attempt(rng: Random, event: Event) -> str:
    if not event.scene.is_on_purpose:
        return ""
    reason = event.scene.pick(rng, "because")
    return f"{event.subject.text} {rng.choice(_ATTEMPTS)} {event.phrase('base')} because {reason}"


def _duration(rng: Random, event: Event) -> str:
    return f"it took {event.subject.text} {rng.choice(_DURATIONS)} to {event.phrase('base')} {event.scene.pick(rng, 'at')}"


def _passive(rng: Random, event: Event) -> str:
    if not event.has_passive:
        return ""
    return f"{event.passive()} {rng.choice(PAST_TIMES)} because {event.scene.pick(rng, 'because')}"


def _reported(rng: Random, event: Event) -> str:
    clause = event.scene.pick(rng, rng.choice(("because", "although")))
    verb = rng.choice(("said", "explained", "thought", "noticed", "knew", "mentioned"))
    return f"{rng.choice(PAST_TIMES)}, {event.subject.text} {verb} that {clause}"


def _should(rng: Random, event: Event) -> str:
    if not event.scene.is_on_purpose:
        return ""
    modal = rng.choice(("should have", "could have", "would have"))
    return f"{event.subject.text} {modal} {event.phrase('participle')} earlier, but {event.scene.pick(rng, 'although')}"


def _in_progress(rng: Random, event: Event) -> str:
    return f"{event.subject.text} {event.subject.was} still {event.phrase('ing')} while {event.scene.pick(rng, 'while')}"


def _opinion(rng: Random, event: Event) -> str:
    lead = rng.choice(
        ("everyone knew that", "I was surprised that", "nobody expected that", "the report says that", "a friend told me that")
    )
    return f"{lead} {event.past()} {rng.choice(PAST_TIMES)}"


def _alone(rng: Random, event: Event) -> str:
    reflexive = {"he": "himself", "she": "herself", "they": "themselves", "it": "itself"}.get(event.subject.pronoun)
    if not reflexive or not event.subject.person:
        return ""
    return f"{event.past()} by {reflexive} because {event.scene.pick(rng, 'because')}"


def _asked_for_help(rng: Random, event: Event) -> str:
    possessive = {"he": "his", "she": "her", "they": "their", "it": "its"}.get(event.subject.pronoun)
    helpers = rng.choice(("friends", "neighbors", "colleagues", "parents", "old teacher"))
    if not possessive or not event.subject.person or not event.scene.is_on_purpose:
        return ""
    return f"{event.subject.text} asked {possessive} {helpers} for help before {event.phrase('ing')}"


def _easier(rng: Random, event: Event) -> str:
    other = second_event(rng, event)
    comparison = rng.choice(("easier", "harder", "cheaper", "quicker", "more difficult", "more important"))
    return f"it was {comparison} to {event.phrase('base')} than to {other.phrase('base')}" if event.scene.is_on_purpose else ""


def _too_late(rng: Random, event: Event) -> str:
    reason = rng.choice(("it was too late", "there was too little time", "it was much too early", "there were not enough helpers"))
    return (
        f"{rng.choice(PAST_TIMES)}, {reason} to {event.phrase('base')} {event.scene.pick(rng, 'at')}"
        if event.scene.is_on_purpose
        else ""
    )


def _did_not(rng: Random, event: Event) -> str:
    until = rng.choice(("until Friday", "in time", "before lunch", "last year", "until the end of the week"))
    excuse = rng.choice(
        ("nobody had asked for it", "there was not enough money", "it was too much work", "there were other things to do")
    )
    return f"{event.subject.text} did not {event.phrase('base')} {until} because {excuse}"


def _for_hours(rng: Random, event: Event) -> str:
    span = rng.choice(
        ("for two hours", "for several days", "since Monday", "since early morning", "for weeks", "since the end of May")
    )
    return f"{event.subject.text} {event.subject.has} been {event.phrase('ing')} {span}" if event.scene.is_on_purpose else ""


_LIKINGS = (
    "is/are responsible for", "is/are interested in", "is/are good at", "is/are tired of", "enjoys/enjoy", "is/are thinking about",
    "is/are looking forward to", "is/are used to", "is/are proud of", "dreams/dream of", "is/are afraid of", "insists/insist on",
)  # fmt: skip


def _liking(rng: Random, event: Event) -> str:
    singular, plural = rng.choice(_LIKINGS).split("/")
    verb = plural if event.subject.plural else f"{singular} {plural.partition(' ')[2]}".strip()
    return f"{event.subject.text} {verb} {event.phrase('ing')} {event.scene.pick(rng, 'at')}" if event.scene.is_on_purpose else ""


def _asked_why(rng: Random, event: Event) -> str:
    clause = event.scene.pick(rng, "because")
    asker = rng.choice(("a visitor", "my friend", "somebody on the phone", "the reporter", "one of the children"))
    return f"{asker} wanted to know why {event.past()} {rng.choice(PAST_TIMES)} and whether {clause}"


def _if(rng: Random, event: Event) -> str:
    benefit = rng.choice(
        ("everyone will be grateful", "there will be fewer problems", "it will be easier for all of us", "nobody will complain")
    )
    return f"if {event.present()} {rng.choice(FUTURE_TIMES)}, {benefit}" if event.scene.is_on_purpose else ""


def _question(rng: Random, event: Event) -> str:
    word = rng.choice(("why", "when exactly", "how often"))
    return f"{word} did {event.subject.text} {event.phrase('base')} {event.scene.pick(rng, 'at')}?".replace(" ?", "?")


_FRAMES: tuple[tuple[Frame, int], ...] = (
    (_simple, 3), (_time_first, 3), (_because, 4), (_because_first, 3), (_although, 3), (_although_first, 3), (_so, 3),
    (_while, 2), (_purpose, 3), (_relative, 3), (_two_actions, 2), (_after, 2), (_with_manner, 3), (_perfect, 3), (_future, 4),
    (_habit, 3), (_attempt, 3), (_duration, 1), (_passive, 3), (_reported, 2), (_should, 2), (_in_progress, 1), (_opinion, 2),
    (_alone, 1), (_asked_for_help, 2), (_easier, 2), (_too_late, 1), (_did_not, 2), (_for_hours, 2), (_liking, 3), (_asked_why, 1),
    (_if, 2), (_question, 1),
)  # fmt: skip


def draw_sentence(rng: Random, split: Split, *, plain: bool = False) -> tuple[str, Event]:
    """A clean sentence of 8 words or more and the event in it; `plain` takes the plainest verb of each action."""
    frames, weights = zip(*_FRAMES, strict=True)
    while True:
        event = draw_event(rng, split, plain=plain)
        text = rng.choices(frames, weights)[0](rng, event)
        if text.count(" ") >= 7:
            return sentence(text), event
