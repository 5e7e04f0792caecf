"""Generic instructions about numbers: sums, units, times, sequences and sorting.

What comes in: a random generator. What goes out: instruction, text and an answer that names its numbers, so that it can be
recomputed and belongs to one split alone.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mixwright.data.embedded.words import NAMES, WOMEN, fix_articles, word_list

Drawn = tuple[str, str, str]

_DAYS = word_list("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
_GOODS = (
    ("pens", 2), ("notebooks", 4), ("bus tickets", 3), ("loaves of bread", 5), ("tickets for the zoo", 12), ("lamps", 25),
    ("books", 15), ("cups of coffee", 3), ("plants", 8), ("T-shirts", 18), ("boxes of tea", 6), ("bicycle tires", 20),
)  # fmt: skip
_UNITS = (
    ("kilometers", "meters", 1000), ("meters", "centimeters", 100), ("kilograms", "grams", 1000), ("hours", "minutes", 60),
    ("minutes", "seconds", 60), ("weeks", "days", 7), ("days", "hours", 24), ("liters", "milliliters", 1000),
    ("feet", "inches", 12), ("years", "months", 12), ("centimeters", "millimeters", 10), ("tons", "kilograms", 1000),
    ("dozens", "pieces", 12),
)  # fmt: skip
_ROMAN = ((100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))


def listed(items: list[str]) -> str:
    """`a, b and c`."""
    return f"{', '.join(items[:-1])} and {items[-1]}"


def _addition(rng: Random) -> Drawn:
    a, b = rng.randint(11, 499), rng.randint(11, 499)
    ask = rng.choice(("What is {a} + {b}?", "Add {a} and {b}.", "Calculate {a} plus {b}.", "Work out the sum of {a} and {b}."))
    return ask.format(a=a, b=b), "", f"{a} + {b} = {a + b}"


def _subtraction(rng: Random) -> Drawn:
    a, b = sorted((rng.randint(11, 499), rng.randint(11, 499)), reverse=True)
    ask = rng.choice(("What is {a} - {b}?", "Subtract {b} from {a}.", "Calculate {a} minus {b}.", "How much is {a} less {b}?"))
    return ask.format(a=a, b=b), "", f"{a} - {b} = {a - b}"


def _multiplication(rng: Random) -> Drawn:
    a, b = rng.randint(3, 25), rng.randint(3, 12)
    ask = rng.choice(
        ("What is {a} times {b}?", "Multiply {a} by {b}.", "Calculate {a} x {b}.", "Work out the product of {a} and {b}.")
    )
    return ask.format(a=a, b=b), "", f"{a} x {b} = {a * b}"


def _division(rng: Random) -> Drawn:
    b, result = rng.randint(3, 12), rng.randint(3, 30)
    ask = rng.choice(("What is {a} divided by {b}?", "Divide {a} by {b}.", "How many times does {b} go into {a}?"))
    return ask.format(a=b * result, b=b), "", f"{b * result} / {b} = {result}"


def _percentage(rng: Random) -> Drawn:
    percent, whole = rng.choice((5, 10, 20, 25, 50, 75)), 20 * rng.randint(2, 60)
    ask = rng.choice(("What is {p}% of {w}?", "Calculate {p} percent of {w}.", "How much is {p}% of {w}?"))
    return ask.format(p=percent, w=whole), "", f"{percent}% of {whole} is {percent * whole // 100}."


def _shopping(rng: Random) -> Drawn:
    name, (goods, price), count = rng.choice(NAMES), rng.choice(_GOODS), rng.randint(2, 9)
    who = "she" if name in WOMEN else "he"
    total = price * count
    return (
        f"{name} buys {count} {goods} at {price} dollars each. How much does {who} pay?",
        "",
        (f"{count} x {price} = {total}, so {name} pays {total} dollars for the {goods}."),
    )


def _sharing(rng: Random) -> Drawn:
    name, people, each = rng.choice(NAMES), rng.randint(3, 9), rng.randint(3, 12)
    goods = rng.choice(("apples", "cards", "stickers", "cookies", "balloons", "pencils", "tickets"))
    return (
        f"{name} shares {people * each} {goods} equally among {people} children. How many does each child get?",
        "",
        (f"{people * each} / {people} = {each}, so each child gets {each} {goods} from {name}."),
    )


def _largest(rng: Random) -> Drawn:
    numbers = rng.sample(range(10, 999), rng.randint(3, 5))
    kind, pick = rng.choice((("largest", max), ("smallest", min)))
    shown = listed([str(number) for number in numbers])
    ask = rng.choice((f"Which of these numbers is the {kind}: {shown}?", f"Find the {kind} number: {shown}."))
    return ask, "", f"The {kind} of {shown} is {pick(numbers)}."


def _parity(rng: Random) -> Drawn:
    number = rng.randint(20, 9999)
    reason = "it can be divided by 2 without a remainder" if number % 2 == 0 else "dividing it by 2 leaves a remainder"
    ask = rng.choice((f"Is {number} even or odd?", f"Say whether {number} is an even or an odd number."))
    return ask, "", f"{number} is {'even' if number % 2 == 0 else 'odd'}, because {reason}."


def _sequence(rng: Random) -> Drawn:
    start, step = rng.randint(1, 60), rng.randint(2, 15)
    shown = ", ".join(str(start + i * step) for i in range(4))
    ask = rng.choice((f"Which number comes next: {shown}?", f"Continue the sequence {shown} by one number."))
    return ask, "", f"{start + 4 * step} comes next, because each number is {step} larger than the one before it."


def _conversion(rng: Random) -> Drawn:
    (big, small, factor), number = rng.choice(_UNITS), rng.randint(2, 60)
    ask = rng.choice(
        (f"Convert {number} {big} to {small}.", f"How many {small} are {number} {big}?", f"Express {number} {big} in {small}.")
    )
    return ask, "", f"{number} {big} are {number * factor:,} {small}."


def _celsius(rng: Random) -> Drawn:
    celsius = 5 * rng.randint(0, 60)
    fahrenheit = celsius * 9 // 5 + 32
    ask = rng.choice((f"Convert {celsius} degrees Celsius to Fahrenheit.", f"What is {celsius} °C in degrees Fahrenheit?"))
    return ask, "", f"{celsius} degrees Celsius are {fahrenheit} degrees Fahrenheit."


def _arrival(rng: Random) -> Drawn:
    hour, minute, length = rng.randint(6, 17), 5 * rng.randint(0, 11), 5 * rng.randint(5, 55)
    end = hour * 60 + minute + length
    vehicle = rng.choice(("train", "bus", "ferry", "flight", "film", "meeting"))
    starts, ends = ("starts", "ends") if vehicle in ("film", "meeting") else ("leaves", "arrives")
    span = " and ".join(
        part for part in (f"{length // 60} hours" if length >= 60 else "", f"{length % 60} minutes" if length % 60 else "") if part
    )
    span = span.replace("1 hours", "1 hour")
    return (
        f"The {vehicle} {starts} at {hour}:{minute:02d} and takes {span}. When does it {ends[:-1]}?",
        "",
        (f"The {vehicle} that {starts} at {hour}:{minute:02d} and takes {span} {ends} at {end // 60}:{end % 60:02d}."),
    )


def _average(rng: Random) -> Drawn:
    mean, shift, other = rng.randint(10, 90), rng.randint(1, 9), rng.randint(1, 9)
    numbers = [mean - shift, mean + shift + other, mean - other]
    rng.shuffle(numbers)
    shown = listed([str(number) for number in numbers])
    ask = rng.choice((f"What is the average of {shown}?", f"Calculate the mean of {shown}."))
    return ask, "", f"The average of {shown} is {sum(numbers) // 3}."


def _rounding(rng: Random) -> Drawn:
    number, unit = rng.randint(101, 9899), rng.choice((10, 100))
    if number % unit == unit // 2:
        number += 1
    name = {10: "ten", 100: "hundred"}[unit]
    return (
        f"Round {number} to the nearest {name}.",
        "",
        f"{number} rounded to the nearest {name} is {(number + unit // 2) // unit * unit}.",
    )


def _sorting(rng: Random) -> Drawn:
    numbers = rng.sample(range(1, 200), rng.randint(4, 6))
    down = rng.random() < 0.4
    order = "from largest to smallest" if down else "from smallest to largest"
    ask = rng.choice((f"Sort these numbers {order}.", f"Put the following numbers in order {order}.", f"Order the list {order}."))
    return ask, ", ".join(map(str, numbers)), ", ".join(map(str, sorted(numbers, reverse=down)))


def _weekday(rng: Random) -> Drawn:
    today, days = rng.randrange(7), rng.randint(2, 40)
    return (
        f"If today is {_DAYS[today]}, which day of the week will it be in {days} days?",
        "",
        (f"If today is {_DAYS[today]}, it will be {_DAYS[(today + days) % 7]} in {days} days."),
    )


def _roman(rng: Random) -> Drawn:
    number = rest = rng.randint(4, 149)
    roman = ""
    for value, letters in _ROMAN:
        roman += letters * (rest // value)
        rest %= value
    if rng.random() < 0.5:
        return f"Write {number} as a Roman numeral.", "", f"The number {number} is {roman} in Roman numerals."
    return f"Which number is the Roman numeral {roman}?", "", f"The Roman numeral {roman} stands for {number}."


def _comparison(rng: Random) -> Drawn:
    a, b = rng.sample(range(10, 9999), 2)
    more = "greater" if rng.random() < 0.5 else "smaller"
    is_so = (a > b) == (more == "greater")
    other = {"greater": "smaller", "smaller": "greater"}[more]
    return f"Is {a} {more} than {b}?", "", f"Yes, {a} is {more} than {b}." if is_so else f"No, {a} is {other} than {b}."


def _change(rng: Random) -> Drawn:
    price, paid = rng.randint(3, 48), rng.choice((50, 100))
    thing = rng.choice(("book", "scarf", "lamp", "cake", "umbrella", "plant", "game", "ticket"))
    ask = fix_articles(f"A {thing} costs {price} dollars and you pay with a {paid}-dollar bill. How much change do you get?")
    return ask, "", f"{paid} - {price} = {paid - price}, so you get {paid - price} dollars back for the {thing}."


NUMBER_KINDS: dict[str, Callable[[Random], Drawn]] = {
    "addition": _addition,
    "subtraction": _subtraction,
    "multiplication": _multiplication,
    "division": _division,
    "percentage": _percentage,
    "shopping": _shopping,
    "sharing": _sharing,
    "largest": _largest,
    "parity": _parity,
    "sequence": _sequence,
    "conversion": _conversion,
    "celsius": _celsius,
    "arrival": _arrival,
    "average": _average,
    "rounding": _rounding,
    "sorting": _sorting,
    "weekday": _weekday,
    "roman": _roman,
    "comparison": _comparison,
    "change": _change,
}
