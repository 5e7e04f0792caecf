"""Word forms, names and the small repairs that keep a generated sentence well-formed.

What comes in: lemmas and rough text. What goes out: inflected forms, and sentences with a capital, a full stop and the
right indefinite article. Only the words of this corpus are covered; it is no general English morphology.
"""

from __future__ import annotations

import functools
import re


def word_list(text: str) -> tuple[str, ...]:
    """The words of a text, in order."""
    return tuple(text.split())


WOMEN = word_list(
    "Priya Marta Aisha Ingrid Lucía Hannah Mei Zanele Olga Fatima Clara Noor Sofia Yuki Amara Elena Ruth Leila Greta Paula "
    "Nadia Irene Wanda Carmen Astrid Joy Teresa Dana Lena Mina"
)
MEN = word_list(
    "Tomas Omar David Kwame Hiroshi Stefan Luis Viktor Samuel Anton Rahul Pedro Jonas Emil Tariq Felix Bruno Daniel Ivan Marco "
    "Henrik Musa Pavel Oscar Andre Ravi Simon Diego Niko Walter"
)
NAMES = WOMEN + MEN

_IRREGULAR = {
    line.split()[0]: (line.split()[1], line.split()[2])
    for line in """
        be was been
        begin began begun
        bring brought brought
        broadcast broadcast broadcast
        build built built
        buy bought bought
        catch caught caught
        choose chose chosen
        come came come
        cut cut cut
        dig dug dug
        do did done
        draw drew drawn
        drive drove driven
        eat ate eaten
        fall fell fallen
        feed fed fed
        find found found
        fly flew flown
        forget forgot forgotten
        get got gotten
        give gave given
        go went gone
        grow grew grown
        have had had
        hear heard heard
        hide hid hidden
        hold held held
        keep kept kept
        know knew known
        lead led led
        leave left left
        lend lent lent
        light lit lit
        lose lost lost
        make made made
        meet met met
        misread misread misread
        misunderstand misunderstood misunderstood
        mislay mislaid mislaid
        mow mowed mown
        overcome overcame overcome
        pay paid paid
        put put put
        quit quit quit
        read read read
        redo redid redone
        repay repaid repaid
        rewrite rewrote rewritten
        ride rode ridden
        rise rose risen
        run ran run
        say said said
        see saw seen
        seek sought sought
        sell sold sold
        send sent sent
        set set set
        shake shook shaken
        shoot shot shot
        show showed shown
        shut shut shut
        sing sang sung
        sit sat sat
        sleep slept slept
        sow sowed sown
        speak spoke spoken
        spend spent spent
        stand stood stood
        steal stole stolen
        sweep swept swept
        swim swam swum
        take took taken
        teach taught taught
        tell told told
        think thought thought
        throw threw thrown
        undertake undertook undertaken
        wake woke woken
        wear wore worn
        win won won
        write wrote written
        """.strip().splitlines()
}
_DOUBLED = frozenset(
    word_list(
        "plan stop chop drop cut put set run get dig shut ban map swap wrap trim sit win begin forget mop swim scrub submit dip "
        "defer transfer occur commit admit prefer permit regret"
    )
)
IRREGULAR_VERBS = frozenset(_IRREGULAR)


@functools.cache
def inflect(verb: str, form: str) -> str:
    """A verb, with its particle if it has one, in one form.

    Args:
        verb: lemma such as `look` or `look after`.
        form: `base`, `third` (person singular), `past`, `participle` or `ing`.
    """
    head, _, particle = verb.partition(" ")
    forms = {"base": lambda: head, "third": lambda: _third(head), "ing": lambda: _ing(head)}
    inflected = forms[form]() if form in forms else _past(head)[form == "participle"]
    return f"{inflected} {particle}" if particle else inflected


def _past(head: str) -> tuple[str, str]:
    if head in _IRREGULAR:
        return _IRREGULAR[head]
    if head.endswith("e"):
        regular = head + "d"
    elif head.endswith("y") and head[-2] not in "aeiou":
        regular = head[:-1] + "ied"
    else:
        regular = head + (head[-1] if head in _DOUBLED else "") + "ed"
    return regular, regular


def _third(head: str) -> str:
    if head in ("have", "be", "do", "go"):
        return {"have": "has", "be": "is", "do": "does", "go": "goes"}[head]
    if head.endswith("y") and head[-2] not in "aeiou":
        return head[:-1] + "ies"
    return head + ("es" if head.endswith(("s", "sh", "ch", "x", "z")) else "s")


def _ing(head: str) -> str:
    if head.endswith("e") and not head.endswith(("ee", "ye")) and head != "be":
        return head[:-1] + "ing"
    return head + (head[-1] if head in _DOUBLED else "") + "ing"


_ARTICLE = re.compile(r"\b([Aa])n? (?=([A-Za-z0-9'-]+))")
_VOWEL_SOUND = re.compile(r"(?:[aeio]|u(?!ni|se|su|til|ti)|un(?:i[mn]|n|s|u)|hour|honest|heir|8|11\b|18\b)|X-ray")


def fix_articles(text: str) -> str:
    """The text with `a` or `an` as the sound of the next word asks."""
    return _ARTICLE.sub(
        lambda match: match[1] + ("n " if _VOWEL_SOUND.match(match[2]) or _VOWEL_SOUND.match(match[2].lower()) else " "), text
    )


def sentence(*parts: str, end: str = ".") -> str:
    """Joins the parts that are not empty: capital at the start, `end` at the end, articles and commas in order."""
    text = " ".join(part for part in parts if part).replace(" ,", ",")
    text = fix_articles(text[0].upper() + text[1:])
    return text if text[-1] in ".?!" else text + end


def lower_first(text: str) -> str:
    """The text for use inside a sentence: its first letter small unless it opens with a name or `I`."""
    first = re.split(r"[\s',]", text, maxsplit=1)[0]
    return text if first in NAMES or first == "I" else text[0].lower() + text[1:]
