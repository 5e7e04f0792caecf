"""The built-in corpus: what holds for every row, and for each task and kind."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from collections import Counter
from random import Random

import pytest

from mixwright.data.embedded import CLEAN_SHARE, TASKS, embedded_rows
from mixwright.data.embedded.damage import add_slips, detokenize, misspell, tokens
from mixwright.data.embedded.frames import draw_sentence
from mixwright.data.embedded.generic import KINDS, split_of
from mixwright.data.embedded.generic_numbers import NUMBER_KINDS
from mixwright.data.embedded.grammar import scenes
from mixwright.data.embedded.links import other_orders
from mixwright.data.embedded.tables_facts import REVIEWS
from mixwright.data.embedded.vocabulary import available, available_entries, is_held_out
from mixwright.data.embedded.words import fix_articles, inflect, lower_first, sentence
from mixwright.data.splits import leak_keys, normalized
from mixwright.errors import DataError
from mixwright.records import GENERIC, SPLITS, Example, Split

WRITING = tuple(task for task in TASKS if task != GENERIC)
REPHRASED = ("coherence", "paraphrasing")


@functools.cache
def rows(task: str, split: Split) -> tuple[Example, ...]:
    return tuple(embedded_rows(task, split, 4000 if split == "train" else 300, seed=0))


@pytest.mark.parametrize("task", TASKS)
def test_thousands_of_train_rows_and_hundreds_to_evaluate_are_distinct(task):
    for split in SPLITS:
        contents = {normalized(f"{row.instruction} {row.text}") for row in rows(task, split)}
        assert len(contents) == len(rows(task, split)) == (4000 if split == "train" else 300)


@pytest.mark.parametrize("task", TASKS)
def test_a_longer_list_begins_with_the_shorter_one(task):
    assert embedded_rows(task, "train", 40, seed=3) == embedded_rows(task, "train", 90, seed=3)[:40]


def test_rows_are_the_same_in_another_process():
    script = (
        "from mixwright.data.embedded import TASKS, embedded_rows\n"
        "print([row.text + row.references[0] for task in TASKS for row in embedded_rows(task, 'test', 8, seed=5)])"
    )
    here = [row.text + row.references[0] for task in TASKS for row in embedded_rows(task, "test", 8, seed=5)]
    command = [sys.executable, "-X", "utf8", "-c", script]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.strip() == str(here)


@pytest.mark.parametrize("task", TASKS)
def test_another_seed_gives_other_rows(task):
    one, other = ({row.text + row.instruction for row in embedded_rows(task, "train", 60, seed=seed)} for seed in (1, 2))
    assert len(one & other) < 20


def test_no_text_or_reference_of_training_stands_in_an_evaluation_set_of_any_task_or_seed():
    learned = {key for task in TASKS for row in rows(task, "train") for key in leak_keys(row)}
    for split in ("dev", "test"):
        for seed in (0, 11):
            asked = {key for task in TASKS for row in embedded_rows(task, split, 300, seed=seed) for key in leak_keys(row)}
            assert not learned & asked


def test_dev_and_test_share_no_writing_text():
    dev, test = ({key for task in WRITING for row in rows(task, split) for key in leak_keys(row)} for split in ("dev", "test"))
    assert not dev & test


@pytest.mark.parametrize("task", TASKS)
def test_ids_name_source_task_split_and_row(task):
    made = embedded_rows(task, "dev", 3, seed=0, source="made")
    assert [row.id for row in made] == [f"made:{task}:dev:{i}" for i in range(3)]
    assert {(row.source, row.task) for row in made} == {("made", task)}
    assert all(row.group for row in made)


def test_groups_stand_on_one_side_of_a_split():
    groups = [{row.group for task in TASKS for row in rows(task, split)} for split in SPLITS]
    assert not groups[0] & (groups[1] | groups[2])
    assert not groups[1] & groups[2]


@pytest.mark.parametrize("task", WRITING)
def test_scenario_rows_leave_the_instruction_to_the_scenario(task):
    assert all(row.instruction == "" for row in rows(task, "dev"))


@pytest.mark.parametrize("task", [task for task in WRITING if task != "grammaticality"])
def test_every_text_differs_from_every_reference(task):
    assert all(row.text not in row.references for split in SPLITS for row in rows(task, split))


def test_the_declared_share_of_grammaticality_rows_is_already_right():
    unchanged = sum(row.text == row.references[0] for row in rows("grammaticality", "train"))
    assert unchanged / 4000 == pytest.approx(CLEAN_SHARE, abs=0.02)


@pytest.mark.parametrize("task", ["coherence", "simplification", "paraphrasing", "fluency"])
def test_tasks_with_several_right_answers_have_several_references(task):
    several = sum(len(row.references) > 1 for row in rows(task, "train"))
    assert several / 4000 > (0.99 if task in REPHRASED else 0.3)


@pytest.mark.parametrize("task", WRITING)
def test_references_are_whole_clean_sentences(task):
    for split in SPLITS:
        for row in rows(task, split):
            for text in row.references:
                assert text[0].isupper() or text[0].isdigit(), text
                assert text[-1] in ".?", text
                assert not re.search(r"  | [.,?!;]|[,;][^ ]|[.,;]{2}|\{|\}|\+", text), text
                assert fix_articles(text) == text


@pytest.mark.parametrize("task", WRITING)
def test_no_word_stands_twice_in_a_row_in_a_reference(task):
    for row in rows(task, "train"):
        assert not re.search(r"\b(\w+) \1\b(?! had)", row.references[0].lower()), row.references[0]


@pytest.mark.parametrize("task", WRITING)
def test_texts_are_one_line_and_of_readable_length(task):
    lengths = [len(row.text.split()) for row in rows(task, "train")]
    assert 8 <= sum(lengths) / len(lengths) <= 30
    assert max(lengths) < 70
    assert not any("\n" in row.text or "  " in row.text for row in rows(task, "train"))


@pytest.mark.parametrize("task", WRITING)
def test_one_scene_or_person_does_not_fill_a_task(task):
    scene_counts = Counter(row.group.partition("/")[0] for row in rows(task, "train"))
    assert len(scene_counts) == len(scenes("train"))
    assert max(scene_counts.values()) < 4000 * 0.15


def test_scenes_belong_to_one_split_and_most_to_training():
    names = {split: {scene.name for scene in scenes(split)} for split in SPLITS}
    assert not names["train"] & (names["dev"] | names["test"])
    assert len(names["train"]) >= 25
    assert min(len(names["dev"]), len(names["test"])) >= 5


@pytest.mark.parametrize("split", SPLITS)
def test_every_scene_has_what_the_frames_ask_for(split):
    for scene in scenes(split):
        assert {"because", "although", "so", "while", "at", "rel"} <= set(scene.lines), scene.name
        assert len(scene.actions) >= 3
        assert all(action.verbs[0] and len(action.objects) >= 2 for action in scene.actions), scene.name
        assert set(scene.lines) <= {"because", "although", "so", "while", "at", "rel", "to", "how", "habit"}, scene.name


def test_unknown_tasks_and_impossible_counts_say_what_would_do():
    with pytest.raises(DataError, match=r"no task 'fluencey'.*did you mean 'fluency'"):
        embedded_rows("fluencey", "train", 1, seed=0)
    with pytest.raises(DataError, match="rows must be 0 or more, got -1"):
        embedded_rows("fluency", "train", -1, seed=0)
    assert embedded_rows("fluency", "train", 0, seed=0) == []


def test_a_task_that_runs_dry_says_how_much_it_has(monkeypatch):
    monkeypatch.setattr(sys.modules["mixwright.data.embedded.generic"], "KINDS", ("fact",))
    with pytest.raises(DataError, match=r"generic has about \d+ distinct dev rows, 200 were asked for"):
        embedded_rows(GENERIC, "dev", 200, seed=0)


# Tables


@pytest.mark.parametrize(
    ("name", "least"),
    [("spelling", 80), ("collocation", 80), ("wordy", 60), ("complex words", 80), ("complex verbs", 60), ("loaded verbs", 30)],
)
def test_tables_are_large_and_keep_some_entries_for_evaluation(name, least):
    train, evaluation = available(name, "train"), available(name, "test")
    assert len(train) >= least
    assert set(train) < set(evaluation)
    assert all(is_held_out(name, entry) for entry in set(evaluation) - set(train))


def test_loaded_words_are_many_and_some_are_unseen_in_training():
    lists = ("people", "things", "adverbs", "openers", "closers")
    assert sum(len(available_entries(name, "train")) for name in lists) >= 80
    assert any(set(available_entries(name, "train")) < set(available_entries(name, "dev")) for name in lists)


# Pieces


@pytest.mark.parametrize(
    ("verb", "form", "expected"),
    [
        ("call off", "past", "called off"),
        ("give up", "participle", "given up"),
        ("plan", "ing", "planning"),
        ("carry", "third", "carries"),
        ("watch", "third", "watches"),
        ("play", "past", "played"),
        ("rewrite", "participle", "rewritten"),
        ("transfer", "past", "transferred"),
        ("bake", "ing", "baking"),
    ],
)
def test_verbs_take_their_forms(verb, form, expected):
    assert inflect(verb, form) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a apple and an pear", "an apple and a pear"),
        ("A hour in an university", "An hour in a university"),
        ("a X-ray of a old uncle", "an X-ray of an old uncle"),
        ("an unusual metal", "an unusual metal"),
        ("an useful unit", "a useful unit"),
    ],
)
def test_articles_follow_the_sound_of_the_next_word(text, expected):
    assert fix_articles(text) == expected


def test_a_sentence_gets_its_capital_and_full_stop_once():
    assert sentence("because it rained,", "", "we left") == "Because it rained, we left."
    assert sentence("did you see it?") == "Did you see it?"


def test_names_keep_their_capital_inside_a_sentence():
    assert lower_first("Priya left.") == "Priya left."
    assert lower_first("The doctor left.") == "the doctor left."


@pytest.mark.parametrize("split", SPLITS)
def test_taking_a_sentence_apart_and_together_changes_nothing(split):
    for draw in range(300):
        text, _ = draw_sentence(Random(f"{split}|{draw}"), split)
        assert detokenize(tokens(text)) == text


def test_slips_change_the_sentence_and_more_slips_change_more_words():
    changed = []
    for count in (1, 3):
        total = 0
        for draw in range(200):
            rng = Random(draw)
            text, _ = draw_sentence(rng, "train")
            damaged = add_slips(rng, text, "train", count)
            assert damaged != text
            total += sum((Counter(tokens(text)) - Counter(tokens(damaged))).values())
        changed.append(total)
    assert changed[1] > 1.5 * changed[0]


def test_a_misspelling_keeps_the_first_letter_and_is_no_longer_the_word():
    for draw in range(300):
        for word in ("carefully", "library", "measure", "summer", "station"):
            wrong = misspell(Random(draw), word)
            assert wrong != word
            assert wrong[0] == word[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Because it was late, the guests left.", ("The guests left because it was late.",)),
        ("The guests left because it was late.", ("Because it was late, the guests left.",)),
        ("Although it was late, Priya stayed.", ("Priya stayed, although it was late.",)),
        ("Priya stayed, although it was late.", ("Although it was late, Priya stayed.",)),
        ("Last week, the choir played an old song.", ("The choir played an old song last week.",)),
        ("Last week, the choir said that it was late.", ()),
        ("The guests left.", ()),
    ],
)
def test_clauses_and_times_change_places_only_where_the_meaning_stays(text, expected):
    assert other_orders(text) == expected


# Generic rows


@functools.cache
def answers(kind: str) -> list[tuple[str, str, str]]:
    """Instruction, text and answer of the training rows of one kind."""
    found = [row for row in rows(GENERIC, "train") if row.group.startswith(f"{kind}/")]
    assert len(found) > 5
    return [(row.instruction, row.text, row.references[0]) for row in found]


def numbers(text: str) -> list[int]:
    return [int(number.replace(",", "")) for number in re.findall(r"-?\d[\d,]*", text.replace(" - ", " minus "))]


def test_generic_rows_are_of_many_kinds_in_every_split():
    assert len(KINDS) >= 20
    for split in SPLITS:
        kinds = Counter(row.group.partition("/")[0] for row in rows(GENERIC, split))
        assert set(kinds) <= set(KINDS)
        assert len(kinds) >= 0.9 * len(KINDS)
        assert max(kinds.values()) < 0.1 * len(rows(GENERIC, split))


def test_generic_rows_bring_an_instruction_and_a_short_answer():
    lengths = []
    for row in rows(GENERIC, "train"):
        assert row.instruction[0].isupper()
        assert row.instruction[-1] in ".?:'"
        assert row.references[0].strip() == row.references[0] != ""
        lengths.append(len(row.references[0].split()))
    assert sum(length <= 40 for length in lengths) / len(lengths) > 0.98


def test_an_answer_belongs_to_one_split_whatever_the_wording():
    for split in SPLITS:
        for row in rows(GENERIC, split):
            kind = row.group.partition("/")[0]
            if kind in NUMBER_KINDS:
                assert split_of(kind, row.references[0]) == split


@pytest.mark.parametrize(
    ("kind", "compute"),
    [
        ("addition", lambda a, b: a + b),
        ("subtraction", lambda a, b: a - b),
        ("multiplication", lambda a, b: a * b),
        ("division", lambda a, b: a / b),
    ],
)
def test_sums_are_right(kind, compute):
    for instruction, _, answer in answers(kind):
        a, b, result = numbers(answer)
        assert compute(a, b) == result
        assert sorted(numbers(instruction)) == sorted((a, b))


def test_percentages_are_right():
    for _, _, answer in answers("percentage"):
        percent, whole, result = numbers(answer)
        assert percent * whole == 100 * result


@pytest.mark.parametrize("kind", ["shopping", "sharing", "change"])
def test_word_problems_are_computed_and_answered_with_the_same_number(kind):
    for instruction, _, answer in answers(kind):
        a, b, result, again = numbers(answer)
        assert {"shopping": a * b, "sharing": a / b, "change": a - b}[kind] == result == again
        assert {a, b} <= set(numbers(instruction))


def test_extremes_averages_and_comparisons_are_right():
    for _, _, answer in answers("largest"):
        *shown, found = numbers(answer)
        assert found == (max if "largest" in answer else min)(shown)
    for _, _, answer in answers("average"):
        *shown, mean = numbers(answer)
        assert mean * len(shown) == sum(shown)
    for _, _, answer in answers("comparison"):
        a, b = numbers(answer)
        assert (a > b) == ("greater" in answer)


def test_parity_rounding_and_sequences_are_right():
    for _, _, answer in answers("parity"):
        assert ("even" in answer) == (numbers(answer)[0] % 2 == 0)
    for _, _, answer in answers("rounding"):
        number, rounded = numbers(answer)
        unit = 10 if "ten" in answer else 100
        assert rounded % unit == 0
        assert abs(rounded - number) < unit / 2
    for instruction, _, answer in answers("sequence"):
        shown = numbers(instruction)[:4]
        assert numbers(answer) == [2 * shown[3] - shown[2], shown[1] - shown[0]]


def test_units_temperatures_and_times_are_right():
    factors = {"meters to centimeters": 100, "weeks to days": 7, "hours to minutes": 60, "kilograms to grams": 1000}
    for instruction, _, answer in answers("conversion"):
        for units, factor in factors.items():
            if f" {units}." in instruction and f"{numbers(answer)[0]} {units.split()[0]}" in instruction:
                assert numbers(answer)[1] == numbers(answer)[0] * factor
    for _, _, answer in answers("celsius"):
        celsius, fahrenheit = numbers(answer)
        assert fahrenheit == celsius * 9 / 5 + 32
    for _, _, answer in answers("arrival"):
        start, end = (int(hour) * 60 + int(minute) for hour, minute in re.findall(r"(\d+):(\d\d)", answer))
        hours, minutes = re.search(r"(\d+) hour", answer), re.search(r"(\d+) minute", answer)
        assert end - start == 60 * int(hours[1] if hours else 0) + int(minutes[1] if minutes else 0)


def test_weekdays_and_roman_numerals_are_right():
    days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    for _, _, answer in answers("weekday"):
        today, then = re.findall("|".join(days), answer)
        assert (days.index(today) + numbers(answer)[0]) % 7 == days.index(then)
    values = {"C": 100, "L": 50, "X": 10, "V": 5, "I": 1}
    for _, _, answer in answers("roman"):
        letters = [values[letter] for letter in re.search(r"\b[CLXVI]+\b", answer)[0]]
        signed = [-value if any(later > value for later in letters[i + 1 : i + 2]) else value for i, value in enumerate(letters)]
        assert sum(signed) == numbers(answer)[0]


def test_lists_are_sorted_reversed_freed_of_repeats_and_formatted():
    for instruction, text, answer in answers("sorting"):
        assert numbers(answer) == sorted(numbers(text), reverse="from largest" in instruction)
    for _, text, answer in answers("alphabetical"):
        assert answer.split(", ") == sorted(text.split(", "))
    for _, text, answer in answers("reversal"):
        assert answer.split(", ") == text.split(", ")[::-1]
    for _, text, answer in answers("duplicates"):
        assert answer.split(", ") == list(dict.fromkeys(text.split(", ")))
    for _, text, answer in answers("bullets"):
        assert [re.sub(r"^(- |\d+\. )", "", line) for line in answer.split("\n")] == re.split(", | and ", text)


def test_letters_and_words_are_counted():
    times = {"once": 1, "twice": 2, "3 times": 3, "4 times": 4}
    for _, _, answer in answers("letters"):
        letter, word = re.findall(r"'(\w+)'", answer)
        assert word.count(letter) == times[re.search("once|twice|[34] times", answer)[0]]
    for _, text, answer in answers("word count"):
        assert numbers(answer) == [len(text.split())]
    for _, text, answer in answers("length"):
        longest = re.search(r"'(\w+)'", answer)[1]
        assert all(len(word) < len(longest) for word in text.split(", ") if word != longest)
        assert numbers(answer) == [len(longest)]


def test_json_answers_hold_the_data_of_the_text():
    for _, text, answer in answers("as json"):
        record = json.loads(answer)
        assert list(record) == ["name", "age", "city", "job"]
        assert all(str(value) in text for value in record.values())
    for _, text, answer in answers("from json"):
        assert all(str(value) in answer for value in json.loads(text).values())


def test_text_questions_are_answered_from_the_text():
    for _, text, answer in answers("upper case"):
        assert answer == text.upper()
    for _, text, answer in answers("who"):
        assert text.startswith(answer.rstrip("."))
    for instruction, text, answer in answers("word place"):
        place = {"first": 0, "second": 1, "last": -1}[re.search("first|second|last", instruction)[0]]
        assert text.rstrip(".?").split()[place].strip(",") == re.search(r"'(.*)'\.$", answer)[1]
    for _, text, answer in answers("question"):
        assert text.rstrip(".").split()[-1] == answer.rstrip("?").split()[-1]


def test_reviews_are_classified_as_they_were_written():
    signs = {}
    for line in REVIEWS.strip().splitlines():
        _, sign, remarks = re.split(r" ([+-]) ", line, maxsplit=1)
        signs |= dict.fromkeys(remarks.split("; "), sign)
    for _, _, answer in answers("review"):
        remark = answer.split(" says that ")[1].rstrip(".")
        assert signs[remark] == ("+" if answer.startswith("Positive") else "-")
