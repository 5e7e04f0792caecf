"""Writes rows.jsonl, the rows of the scenario beside it: made-up work messages and the fields that they hold.

python search_spaces/messages/make_rows.py

What comes in: a seed. What goes out: a row a line with task, text and one reference; the same seed gives the same file.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

PATH = Path(__file__).parent / "rows.jsonl"
SEED = 0
ROWS = {"order": 260, "meeting": 260, "fault": 260, "delivery": 100}

FIRST = "Anna Ben Carla David Elena Farid Greta Hugo Ines Jonas Karin Liam Mona Nadia Omar Paula Rosa Samir Tessa Viktor"
LAST = "Berg Castro Dahl Evans Fischer Garcia Holm Ivanov Jansen Kowalski Larsen Meyer Novak Okafor Petit Rossi Sato Weber"
CITY = "Bergen Cork Delft Evora Ghent Graz Krakow Leeds Lyon Malaga Odense Porto Riga Siena Tartu Turku Ulm Vaasa Vigo York"
COLOUR = "black blue brown green grey orange red silver white yellow"
THING = "bags bins bolts brushes cables chairs clamps desks fans hoses lamps pumps ropes shelves tables tents trays valves"
TOPIC = "audit budget contract design hiring insurance packaging pricing recruiting safety schedule training travel"
MACHINE = "boiler conveyor crane crusher cutter dryer forklift lathe mixer oven press robot scanner sorter welder"
MONTH = "January February March April May June July August September October November December"

TEXTS = {
    "order": (
        "Hello, please send {count} {item} to {name} in {city}. We need them by {day}.",
        "{name} in {city} would like to have {count} {item} on {day}, as discussed.",
        "By {day} at the latest we need {count} {item} in our {city} shop. Ask for {name}.",
        "New order: the {city} office wants {count} {item}. {name} will sign for them on {day}.",
        "This is {name}. Could you bring {count} {item} to {city} on {day}? Thanks.",
    ),
    "meeting": (
        "Can we talk about {topic} on {day} at {time}? I have booked room {room}. Best, {name}",
        "{name} invites you to room {room}: {topic}, {day}, {time} sharp.",
        "The {topic} meeting with {name} has moved to {time} on {day}. It will be in room {room}.",
        "Room {room} is ours at {time} on {day}. {name} will go through the {topic} with us.",
        "Reminder from {name}: on {day} we meet in room {room} because of the {topic}. We start at {time}.",
    ),
    "fault": (
        "At {time} the {machine} in {city} stopped with code {code}. {name} is looking at it.",
        "{name} reports code {code} on the {machine}. It came up at {time}; the site is {city}.",
        "Our {city} plant has a problem: since {time} the {machine} has shown {code}. Please call {name}.",
        "Code {code} again! The {machine} went down at {time}, says {name} from {city}.",
        "From {city}: {machine} out of order, {code} on the display, noticed by {name} at {time}.",
    ),
    "delivery": (
        "Parcel {parcel} for {name} reaches {city} on {day} at about {time}.",
        "{name}, your parcel {parcel} was left at the desk in {city} on {day}, {time}.",
        "On {day} at {time} our driver comes to {city} with parcel {parcel}. {name} has to be there.",
        "We could not hand over parcel {parcel} in {city}. We will try again at {time} on {day}, dear {name}.",
    ),
}
FIELDS = {
    "order": ("item", "count", "name", "city", "day"),
    "meeting": ("topic", "name", "day", "time", "room"),
    "fault": ("machine", "code", "time", "city", "name"),
    "delivery": ("parcel", "city", "name", "day", "time"),
}


def word(rng: Random, words: str) -> str:
    return rng.choice(words.split())


def values(rng: Random) -> dict[str, str]:
    """One value for every field that any task has."""
    return {
        "item": f"{word(rng, COLOUR)} {word(rng, THING)}",
        "count": str(rng.randint(2, 99)),
        "name": f"{word(rng, FIRST)} {word(rng, LAST)}",
        "city": word(rng, CITY),
        "day": f"{rng.randint(1, 28)} {word(rng, MONTH)}",
        "topic": word(rng, TOPIC),
        "time": f"{rng.randint(6, 19)}:{rng.randrange(0, 60, 5):02d}",
        "room": f"{rng.choice('ABCD')}{rng.randint(100, 499)}",
        "machine": f"{word(rng, MACHINE)} {rng.randint(1, 40)}",
        "code": f"{rng.choice('EFKT')}{rng.randint(10, 99)}",
        "parcel": f"{rng.choice('PQRS')}{rng.randint(10000, 99999)}",
    }


def row(task: str, number: int) -> dict[str, object]:
    """The row of that number, which hangs on no other row."""
    rng = Random(f"{SEED}|{task}|{number}")
    drawn = values(rng)
    answer = "; ".join(f"{field}: {drawn[field]}" for field in FIELDS[task])
    return {"task": task, "text": rng.choice(TEXTS[task]).format(**drawn), "references": [answer]}


def lines() -> str:
    """The whole file."""
    return "".join(json.dumps(row(task, number)) + "\n" for task, count in ROWS.items() for number in range(count))


if __name__ == "__main__":
    PATH.write_text(lines(), encoding="utf-8")
