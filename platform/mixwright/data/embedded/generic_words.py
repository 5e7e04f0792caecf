"""Generic instructions about words and facts: definitions, opposites, word forms, lists, translation, short letters.

What comes in: a random generator. What goes out: instruction, text and an answer that takes up what was asked.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from random import Random

from mixwright.data.embedded import tables_facts
from mixwright.data.embedded.generic_numbers import listed
from mixwright.data.embedded.vocabulary import entries
from mixwright.data.embedded.words import IRREGULAR_VERBS, NAMES, WOMEN, fix_articles, inflect, sentence

Drawn = tuple[str, str, str]

_JOBS = entries(
    "nurse; baker; teacher; pilot; lawyer; engineer; gardener; musician; plumber; waiter; architect; journalist; dentist; farmer; "
)
_CITIES = entries(
    "Lisbon; Oslo; Lima; Nairobi; Toronto; Krakow; Osaka; Valencia; Dublin; Accra; Bergen; Porto; Lyon; Leeds; Quito; Perth; "
)
_HOBBIES = entries(
    "chess; tennis; hiking; painting; swimming; photography; cooking; cycling; singing; gardening; fishing; dancing; "
)
_PRODUCTS = entries(
    "rain jacket; desk lamp; coffee grinder; tent; keyboard; sleeping bag; frying pan; backpack; alarm clock; water bottle; "
)
_ERRANDS = (
    ("move our meeting to {day} at {hour}", "I am sorry, but I have to move our meeting to {day} at {hour}. Does that suit you?"),
    ("thank {name} for the help on {day}", "Thank you very much for your help on {day}. I could not have done it without you."),
    ("ask {name} for the report by {day}", "Could you please send me the report by {day}? I need it for a talk at {hour}."),
    ("invite {name} to dinner on {day}", "Would you like to come to dinner on {day} at {hour}? We would love to see you."),
    ("say that you will be late on {day}", "I will be about half an hour late on {day}, because my train only arrives at {hour}."),
    ("tell {name} that the order has arrived", "Your order has arrived. You can pick it up from {day} at {hour} onward."),
    ("congratulate {name} on the new job", "Congratulations on your new job! Let us celebrate it on {day} at {hour}."),
    ("remind {name} of the appointment on {day}", "Please remember your appointment on {day} at {hour}. See you then!"),
)  # fmt: skip
_MASS_NOUNS = frozenset(entries("gravity; friction; hibernation; compost; pollen; migration"))
_WEEKDAYS = entries("Monday; Tuesday; Wednesday; Thursday; Friday; Saturday")
_HOURS = entries("9 a.m.; 10 a.m.; 11 a.m.; 2 p.m.; 3 p.m.; 4 p.m.; 5 p.m.; 6 p.m.; 7 p.m.")


@functools.cache
def _table(text: str) -> tuple[tuple[str, str], ...]:
    """`question -> answer` entries, one a line or between semicolons."""
    rows = (item.partition(" -> ") for item in (entries(text) if "?" not in text else text.strip().splitlines()))
    return tuple((left, right) for left, _, right in rows)


@functools.cache
def _single_words() -> tuple[str, ...]:
    """The items of all categories that are one word."""
    return tuple(item for items in _categories().values() for item in items if " " not in item)


@functools.cache
def _categories() -> dict[str, tuple[str, ...]]:
    rows = (line.partition(": ") for line in tables_facts.CATEGORIES.strip().splitlines())
    return {name: tuple(items.split(", ")) for name, _, items in rows}


def _capital(rng: Random) -> Drawn:
    country, capital = rng.choice(_table(tables_facts.CAPITALS))
    asks = (
        "What is the capital of {}?",
        "Name the capital of {}.",
        "Which city is the capital of {}?",
        "{1} is the capital of which country?",
    )
    return rng.choice(asks).replace("{}", "{0}").format(country, capital), "", f"{capital} is the capital of {country}."


def _definition(rng: Random) -> Drawn:
    word, meaning = rng.choice(_table(tables_facts.DEFINITIONS))
    noun = word if word in _MASS_NOUNS else fix_articles(f"a {word}")
    answer = f"{noun[0].upper()}{noun[1:]} is {meaning}."
    if rng.random() < 0.3:
        text = f"{meaning[0].upper()}{meaning[1:]}."
        return (
            rng.choice(("Which word fits this definition? Answer in a full sentence.", "Say what is described here.")),
            text,
            answer,
        )
    ask = rng.choice(
        (
            "What is {noun}?",
            "Define the word '{word}' in one sentence.",
            "Explain briefly what {noun} is.",
            "What does '{word}' mean?",
        )
    )
    return ask.format(noun=noun, word=word), "", answer


def _fact(rng: Random) -> Drawn:
    question, answer = rng.choice(_table(tables_facts.FACTS))
    return question, "", answer


def _advice(rng: Random) -> Drawn:
    question, answer = rng.choice(_table(tables_facts.TIPS))
    return question, "", answer


def _opposite(rng: Random) -> Drawn:
    word, other = rng.choice(_table(tables_facts.OPPOSITES))
    ask = rng.choice(("What is the opposite of '{}'?", "Give an antonym of '{}'.", "Name the opposite of the word '{}'."))
    return ask.format(word), "", f"The opposite of '{word}' is '{other}'."


def _verb_form(rng: Random) -> Drawn:
    verb = rng.choice(sorted(IRREGULAR_VERBS - {"be", "redo", "repay"}))
    name, form = rng.choice((("past tense", "past"), ("past participle", "participle"), ("-ing form", "ing")))
    ask = rng.choice((f"What is the {name} of '{verb}'?", f"Give the {name} of the verb '{verb}'."))
    return ask, "", f"The {name} of '{verb}' is '{inflect(verb, form)}'."


def _translation(rng: Random) -> Drawn:
    phrase, versions = rng.choice(_table(tables_facts.PHRASES))
    place = rng.randrange(4)
    language = tables_facts.LANGUAGES[place]
    ask = rng.choice(("How do you say '{}' in {}?", "Translate '{}' into {}.", "What is '{}' in {}?"))
    return ask.format(phrase, language), "", f"'{phrase.capitalize()}' in {language} is '{versions.split(', ')[place]}'."


def _odd_one(rng: Random) -> Drawn:
    here, there = rng.sample(tuple(_categories()), 2)
    items, stranger = rng.sample(_categories()[here], 3), rng.choice(_categories()[there])
    if stranger in _categories()[here]:
        return _odd_one(rng)
    shown = [*items, stranger]
    rng.shuffle(shown)
    ask = rng.choice(("Which word does not belong with the others?", "Find the odd one out."))
    return ask, ", ".join(shown), f"'{stranger}' does not belong, because {listed(items)} are {here}."


def _category(rng: Random) -> Drawn:
    name = rng.choice(tuple(_categories()))
    items = rng.sample(_categories()[name], 3)
    ask = rng.choice(("What do these three have in common?", "Which group do these words belong to?"))
    return ask, ", ".join(items), f"{listed(items).capitalize()} are {name}."


def _alphabetical(rng: Random) -> Drawn:
    words = rng.sample(_single_words(), rng.randint(4, 6))
    ask = rng.choice(
        ("Sort these words alphabetically.", "Put the words into alphabetical order.", "Arrange the list from A to Z.")
    )
    return ask, ", ".join(words), ", ".join(sorted(words))


def _bullets(rng: Random) -> Drawn:
    words = rng.sample(_categories()[rng.choice(tuple(_categories()))], rng.randint(3, 5))
    numbered = rng.random() < 0.4
    lines = [f"{i}. {word}" if numbered else f"- {word}" for i, word in enumerate(words, start=1)]
    kind = "a numbered list" if numbered else "a bullet list"
    return rng.choice((f"Turn this into {kind}.", f"Format the items as {kind}.")), listed(words), "\n".join(lines)


def _duplicates(rng: Random) -> Drawn:
    words = rng.sample(_categories()[rng.choice(tuple(_categories()))], 4)
    shown = [*words, *rng.sample(words, 2)]
    rng.shuffle(shown)
    ask = rng.choice(("Remove the duplicates from this list.", "Write each item of the list only once, in the order given."))
    return ask, ", ".join(shown), ", ".join(dict.fromkeys(shown))


def _reversal(rng: Random) -> Drawn:
    words = rng.sample(_single_words(), rng.randint(4, 5))
    return (
        rng.choice(("Reverse the order of this list.", "Write the list backwards, last item first.")),
        ", ".join(words),
        ", ".join(reversed(words)),
    )


def _letters(rng: Random) -> Drawn:
    word = rng.choice(_single_words())
    letter = rng.choice(sorted(set(word)))
    count = word.count(letter)
    times = "once" if count == 1 else "twice" if count == 2 else f"{count} times"
    return (
        f"How often does the letter '{letter}' appear in the word '{word}'?",
        "",
        f"The letter '{letter}' appears {times} in '{word}'.",
    )


def _length(rng: Random) -> Drawn:
    words = rng.sample(_single_words(), 4)
    longest = max(words, key=len)
    if sum(len(word) == len(longest) for word in words) > 1:
        return _length(rng)
    others = listed([word for word in words if word != longest])
    answer = f"'{longest}' is the longest, with {len(longest)} letters; {others} are shorter."
    return "Which of these words is the longest?", ", ".join(words), answer


def _person(rng: Random) -> dict[str, str | int]:
    return {"name": rng.choice(NAMES), "age": rng.randint(19, 78), "city": rng.choice(_CITIES), "job": rng.choice(_JOBS)}


def _as_json(rng: Random) -> Drawn:
    person = _person(rng)
    text = fix_articles(f"{person['name']} is {person['age']} years old, lives in {person['city']} and works as a {person['job']}.")
    ask = rng.choice(
        ("Write the data as JSON with the keys name, age, city and job.", "Extract name, age, city and job as a JSON object.")
    )
    return ask, text, json.dumps(person, ensure_ascii=False)


def _from_json(rng: Random) -> Drawn:
    person = _person(rng)
    text = f"{person['name']} is {person['age']} years old, lives in {person['city']} and works as a {person['job']}."
    ask = rng.choice(("Write this record as a sentence.", "Put the JSON object into one English sentence."))
    return ask, json.dumps(person, ensure_ascii=False), fix_articles(text)


def _introduction(rng: Random) -> Drawn:
    person, hobby = _person(rng), rng.choice(_HOBBIES)
    who, whose = ("She", "her") if person["name"] in WOMEN else ("He", "his")
    ask = f"Write two sentences that introduce {person['name']}, a {person['job']} from {person['city']} who loves {hobby}."
    first = f"This is {person['name']}, a {person['job']} from {person['city']}."
    return fix_articles(ask), "", fix_articles(f"{first} {who} loves {hobby} in {whose} free time.")


def _email(rng: Random) -> Drawn:
    name, sender = rng.sample(NAMES, 2)
    errand, body = rng.choice(_ERRANDS)
    fill = {"name": name, "day": rng.choice(_WEEKDAYS), "hour": rng.choice(_HOURS)}
    details = [fill[key] for key in ("day", "hour") if f"{{{key}}}" in body and f"{{{key}}}" not in errand]
    mention = f" Mention {listed(details) if len(details) > 1 else details[0]}." if details else ""
    ask = sentence(f"write a short email from {sender} to {name}: {errand.format(**fill)}") + mention
    letter = f"Hi {name},\n\n{body.format(**fill)}\n\nBest wishes,\n{sender}"
    return ask.replace(".m..", ".m."), "", letter.replace(".m..", ".m.")


def _review(rng: Random) -> Drawn:
    thing, sign, remarks = re.split(r" ([+-]) ", rng.choice(tables_facts.REVIEWS.strip().splitlines()), maxsplit=1)
    is_good = sign == "+"
    first, second = rng.sample(remarks.split("; "), 2)
    text = sentence(f"this is about {fix_articles('a ' + thing)}. {first[0].upper()}{first[1:]}, and {second}")
    ask = rng.choice(("Is this review positive or negative?", "Classify the sentiment of the review as positive or negative."))
    return ask, text, f"{'Positive' if is_good else 'Negative'}, because the review of the {thing} says that {first}."


def _product(rng: Random) -> Drawn:
    product, price, left = rng.choice(_PRODUCTS), rng.randint(9, 180), rng.randint(2, 60)
    text = f"We still have {left} pieces of the {product} in stock, and each costs {price} dollars."
    what = rng.choice(("price", "stock"))
    ask = {"price": "What does one piece cost?", "stock": "How many pieces are left?"}[what]
    answers = {"price": f"One {product} costs {price} dollars.", "stock": f"There are {left} pieces of the {product} left."}
    return ask, text, answers[what]


WORD_KINDS: dict[str, Callable[[Random], Drawn]] = {
    "capital": _capital,
    "definition": _definition,
    "fact": _fact,
    "advice": _advice,
    "opposite": _opposite,
    "verb form": _verb_form,
    "translation": _translation,
    "odd one": _odd_one,
    "category": _category,
    "alphabetical": _alphabetical,
    "bullets": _bullets,
    "duplicates": _duplicates,
    "reversal": _reversal,
    "letters": _letters,
    "length": _length,
    "as json": _as_json,
    "from json": _from_json,
    "introduction": _introduction,
    "email": _email,
    "review": _review,
    "product": _product,
}
