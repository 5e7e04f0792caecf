"""Clean English sentences: the frames that turn an event into one.

What comes in: a random generator and a split. What goes out: sentences of many shapes (tenses, voices, subordinate clauses,
relative clauses, lists, comparisons, questions) for the tasks that damage or decorate them. A frame gives a sentence without its
capital and full stop, or an empty string where it does not fit the event.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mixwright.data.embedded.grammar import FUTURE_TIMES, PAST_TIMES, Event, Scene, draw_event, relative, second_event
from mixwright.data.embedded.words import sentence
from mixwright.records import Split

Frame = Callable[[Random, Event], str]

_ATTEMPTS = ("decided to", "had to", "wanted to", "agreed to", "planned to", "promised to", "chose to", "needed to")
_DURATIONS = ("two hours", "almost three days", "a whole week", "nearly a month", "only twenty minutes", "most of the morning")


def circumstance(rng: Random, scene: Scene) -> str:
    """A place, a past time or both, as they stand at the end of a sentence."""
    place, time = scene.pick(rng, "at"), rng.choice(PAST_TIMES)
    return rng.choice((place, time, f"{place} {time}"))


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
