"""From made-up files to training, dev and test rows: counts, held-out tasks, the guard, and all problems at once."""

import json

import pytest
from made_up_files import write, write_jsonl

from mixwright.config import DataConfig, ModelConfig
from mixwright.data.prepare import prepare, tokenize
from mixwright.data.splits import leak_keys
from mixwright.errors import ConfigError, DataError
from mixwright.scenarios import Instructions, Scenario, Task


def scenario(*tasks, unseen=()):
    instructions = Instructions(train=("Mend it.", "Make it better."), evaluation=("Improve it.",))
    made = [Task(name=task, metric="sari", seen=task not in unseen, instructions=instructions) for task in (*tasks, *unseen)]
    return Scenario(name="made", tasks=tuple(made))


def sentences(count, tag):
    return [f"{tag} number {number} stands here" for number in range(count)]


def rows(task, count, tag=None):
    return [{"task": task, "text": text, "references": f"{text} mended"} for text in sentences(count, tag or task)]


def generic(count):
    return [{"instruction": f"Name {number} things.", "input": "", "output": f"Thing {number}"} for number in range(count)]


@pytest.fixture
def root(tmp_path):
    """Files for two tasks and generic instructions."""
    write_jsonl(tmp_path / "fluency.jsonl", rows("fluency", 80))
    write_jsonl(tmp_path / "clarity.jsonl", rows("clarity", 80))
    write(tmp_path / "alpaca.json", json.dumps(generic(80)))
    return tmp_path


ALPACA = {"name": "alpaca", "format": "alpaca", "path": "alpaca.json", "evaluation_fraction": 0.3}


def jsonl(name, **settings):
    return {"name": name, "format": "jsonl", "path": f"{name}.jsonl", "evaluation_fraction": 0.3, **settings}


def config(root, *sources):
    return DataConfig.model_validate({"root": str(root), "sources": sources})


def everything(root, *more):
    return config(root, ALPACA, jsonl("fluency"), jsonl("clarity"), *more)


def flat(by_task):
    return [row for task_rows in by_task.values() for row in task_rows]


def test_every_task_and_generic_get_training_dev_and_test_rows(root):
    data = prepare(everything(root), scenario("fluency", "clarity"), seed=0)
    for split in (data.train, data.dev, data.test):
        assert set(split) == {"fluency", "clarity", "generic"}
        assert all(split.values())
    assert sum(data.report["tasks"]["fluency"].values()) == 80


def test_held_out_task_is_evaluated_and_never_trained(root):
    data = prepare(everything(root), scenario("fluency", unseen=("clarity",)), seed=0)
    assert set(data.train) == {"fluency", "generic"}
    assert data.dev["clarity"]
    assert data.test["clarity"]
    counts = data.report["sources"]["clarity"]
    assert counts["held_out"] + len(data.dev["clarity"]) + len(data.test["clarity"]) == 80
    assert counts["kept"]["train"] == {}


def test_no_text_stands_on_two_sides(root):
    copies = rows("clarity", 40, "fluency")  # clarity rows that are made of fluency sentences
    write_jsonl(root / "copies.jsonl", copies)
    data = prepare(everything(root, jsonl("copies", use="evaluation")), scenario("fluency", "clarity"), seed=0)
    train, dev, test = ({key for row in flat(split) for key in leak_keys(row)} for split in (data.train, data.dev, data.test))
    assert not train & (dev | test)
    assert not dev & test


def test_guard_drops_training_rows_that_stand_in_another_source_s_evaluation_and_counts_them(root):
    write_jsonl(root / "more.jsonl", [*rows("fluency", 30, "clarity"), *rows("fluency", 10, "free")])
    sources = (ALPACA, jsonl("fluency"), jsonl("clarity", use="evaluation"), jsonl("more", use="train"))
    data = prepare(config(root, *sources), scenario("fluency", unseen=("clarity",)), seed=0)
    assert data.report["sources"]["more"]["leaked"] == 30
    assert data.report["sources"]["more"]["kept"]["train"] == {"fluency": 10}
    assert not any(row.text.startswith("clarity") for row in data.train["fluency"])


def test_rows_of_one_evaluation_prompt_are_kept_once(root):
    twice = [{**row, "references": "another answer " + row["text"]} for row in rows("clarity", 10)]
    write_jsonl(root / "twice.jsonl", twice)
    sources = (ALPACA, jsonl("fluency"), jsonl("clarity", use="evaluation"), jsonl("twice", use="evaluation"))
    data = prepare(config(root, *sources), scenario("fluency", unseen=("clarity",)), seed=0)
    assert data.report["sources"]["twice"]["repeated"] == 10
    texts = [row.text for row in (*data.dev["clarity"], *data.test["clarity"])]
    assert len(texts) == len(set(texts)) == 80


def test_every_row_that_was_read_is_accounted_for(root):
    write_jsonl(
        root / "messy.jsonl", [*rows("fluency", 40), *rows("clarity", 9, "x"), {"task": "fluency", "text": "", "references": "a"}]
    )
    data = prepare(everything(root, jsonl("messy", rows=45)), scenario("fluency", unseen=("clarity",)), seed=0)
    for counts in data.report["sources"].values():
        kept = sum(sum(by_task.values()) for by_task in counts["kept"].values())
        gone = sum(counts["left_out"].values()) + counts["held_out"] + counts["leaked"] + counts["repeated"]
        assert counts["read"] == kept + gone
    assert data.report["sources"]["messy"]["left_out"] == {"empty text": 1, "beyond rows: 45": 4}
    json.dumps(data.report)


def test_equal_seeds_give_equal_data_and_other_seeds_other_splits(root):
    made = [prepare(everything(root), scenario("fluency", "clarity"), seed=seed) for seed in (0, 0, 1)]
    assert made[0] == made[1]
    assert made[0].test["fluency"] != made[2].test["fluency"]


def test_another_source_leaves_the_rows_of_the_others_where_they_were(root):
    write_jsonl(root / "more.jsonl", rows("fluency", 50, "more"))
    before = prepare(everything(root), scenario("fluency", "clarity"), seed=0)
    after = prepare(everything(root, jsonl("more")), scenario("fluency", "clarity"), seed=0)
    for split in ("train", "dev", "test"):
        assert [row for row in getattr(after, split)["fluency"] if row.source != "more"] == getattr(before, split)["fluency"]


def test_first_rows_of_a_list_come_from_all_sources(root):
    write_jsonl(root / "more.jsonl", rows("fluency", 80, "more"))
    data = prepare(everything(root, jsonl("more")), scenario("fluency", "clarity"), seed=0)
    assert {row.source for row in data.train["fluency"][:20]} == {"fluency", "more"}


def test_relative_root_counts_from_the_folder_given(root, monkeypatch):
    relative = everything(root).model_copy(update={"root": root.name})
    assert prepare(relative, scenario("fluency", "clarity"), seed=0, folder=root.parent).dev["fluency"]
    monkeypatch.chdir(root.parent)
    assert prepare(relative, scenario("fluency", "clarity"), seed=0).dev["fluency"]


def test_root_is_filled_from_the_environment(root, monkeypatch):
    monkeypatch.setenv("MADE_ROOT", str(root))
    from_variable = everything(root).model_copy(update={"root": "${MADE_ROOT}"})
    assert prepare(from_variable, scenario("fluency", "clarity"), seed=0).report["root"] == str(root)
    monkeypatch.delenv("MADE_ROOT")
    with pytest.raises(ConfigError, match="MADE_ROOT is not set"):
        prepare(from_variable, scenario("fluency", "clarity"), seed=0)


def refused(*arguments):
    with pytest.raises(DataError) as caught:
        prepare(*arguments, seed=0)
    return str(caught.value)


def test_unknown_task_of_a_source_is_told_before_anything_is_read(tmp_path):
    text = refused(config(tmp_path, jsonl("none", task="fluencie")), scenario("fluency"))
    assert text == "source 'none': unknown task 'fluencie'; the scenario has fluency, generic; did you mean 'fluency'?"


def test_unknown_task_of_a_row_is_told_with_the_row(root):
    write_jsonl(root / "odd.jsonl", [*rows("fluency", 2, "o"), *rows("clearity", 1)])
    text = refused(everything(root, jsonl("odd")), scenario("fluency", "clarity"))
    assert text.startswith("source 'odd' (row odd:3): unknown task 'clearity'")
    assert "did you mean 'clarity'" in text


def test_all_sources_that_cannot_be_read_are_told_at_once(root):
    write(root / "broken.jsonl", "{")
    text = refused(everything(root, jsonl("broken"), jsonl("nowhere")), scenario("fluency", "clarity"))
    assert text.startswith("2 problems with the data\n")
    assert "broken.jsonl:1: not valid JSON" in text
    assert "nowhere.jsonl: no such file" in text


def test_everything_that_is_missing_is_told_at_once(root):
    text = refused(config(root, jsonl("fluency", use="train"), jsonl("clarity", use="evaluation")), scenario("fluency", "clarity"))
    for told in (
        "task 'clarity' has no train rows; add a source with `use: train` or `both`, or list the task under `unseen`",
        "task 'fluency' has no dev rows; add a source with `use: evaluation` or `both`",
        "task 'fluency' has no test rows",
        "task 'generic' has no train rows; add a source of generic instructions",
        "task 'generic' has no dev rows",
    ):
        assert told in text


def test_training_set_that_the_guard_emptied_says_so(root):
    write_jsonl(root / "copies.jsonl", rows("fluency", 80, "clarity"))
    sources = (ALPACA, jsonl("copies", use="train"), jsonl("clarity", use="evaluation"), jsonl("fluency", use="evaluation"))
    text = refused(config(root, *sources), scenario("fluency", unseen=("clarity",)))
    assert text.startswith("task 'fluency' has no train rows;")
    assert text.endswith("(the leak guard dropped 80 of copies)")


def test_generic_rows_for_evaluation_alone_are_enough(root):
    sources = ({**ALPACA, "use": "evaluation"}, jsonl("fluency"))
    data = prepare(config(root, *sources), scenario("fluency"), seed=0)
    assert data.train["generic"] == []
    assert data.dev["generic"]


class WordTokenizer:
    """A token a word and one for each end; no chat template."""

    chat_template = None
    eos_token_id = 0

    def __call__(self, texts, add_special_tokens=True):
        return {"input_ids": [[1] * (len(text.split()) + add_special_tokens) for text in texts]}


def tokenized(data, made, max_length, **settings):
    return tokenize(data, WordTokenizer(), made, ModelConfig(max_length=max_length, **settings), seed=0)


@pytest.fixture
def long_root(root):
    """Seven rows more, whose response alone is longer than the limit, and three whose text is."""
    long = [{**row, "references": "word " * 100} for row in rows("fluency", 7, "long")]
    write_jsonl(root / "long.jsonl", long)
    write_jsonl(root / "wordy.jsonl", [{**row, "text": row["text"] + " word" * 100} for row in rows("clarity", 3, "wordy")])
    return root


@pytest.mark.parametrize(("long_rows", "left_out", "cut"), [("drop", 3, 0), ("truncate", 0, 3)])
def test_rows_beyond_the_length_are_left_out_or_cut_in_training_alone_and_counted(long_root, long_rows, left_out, cut):
    made = scenario("fluency", "clarity")
    data = prepare(everything(long_root, jsonl("long", use="train"), jsonl("wordy", use="train")), made, seed=0)
    shorter = tokenized(data, made, 80, long_rows=long_rows)
    assert not any(row.source == "long" for row in shorter.train["fluency"])
    assert len(shorter.train["fluency"]) == len(data.train["fluency"]) - 7
    assert sum(row.source == "wordy" for row in shorter.train["clarity"]) == cut
    assert shorter.report["too_long"] == {"fluency": 7, "clarity": left_out, "generic": 0}
    assert shorter.report["cut"] == {"fluency": 0, "clarity": cut, "generic": 0}
    assert shorter.report["tasks"]["fluency"]["train"] == len(shorter.train["fluency"])
    assert (shorter.dev, shorter.test) == (data.dev, data.test)
    assert max(shorter.tokens.token_count(row) for row in flat(shorter.train)) <= 80
    assert "too_long" not in data.report


def test_length_that_leaves_nothing_is_an_error(root):
    made = scenario("fluency", "clarity")
    with pytest.raises(DataError, match=r"task 'fluency': every row is longer than 16 tokens; raise model.max_length"):
        tokenized(prepare(everything(root), made, seed=0), made, 16)


BLANKS = ("", "   ", "\u00a0\n")


def test_a_row_with_an_empty_response_is_left_out_and_told_with_its_source_and_reason(root, caplog):
    blank = [{**row, "references": answer} for row, answer in zip(rows("fluency", 3, "blank"), BLANKS, strict=True)]
    write_jsonl(root / "blank.jsonl", [*blank, *rows("fluency", 2, "filled")])
    unanswered = [{"instruction": f"Say {number}.", "input": "", "output": answer} for number, answer in enumerate(BLANKS)]
    write(root / "unanswered.json", json.dumps([*unanswered, {"instruction": "Say it.", "input": "", "output": "It."}]))
    write(root / "source.txt", "He go .\nShe go .\n")
    write(root / "target.txt", "He goes .\n   \n")
    write(root / "deleted.m2", "S Bad .\nA 0 2|||U:OTHER||||||REQUIRED|||-NONE-|||0\n\nS Good .\n\n")
    sources = (
        jsonl("blank", use="train"),
        {**ALPACA, "name": "unanswered", "path": "unanswered.json", "use": "train"},
        {
            "name": "lines",
            "format": "parallel",
            "path": "source.txt",
            "references": ["target.txt"],
            "task": "fluency",
            "use": "train",
        },
        {"name": "deleted", "format": "m2", "path": "deleted.m2", "task": "fluency", "use": "train"},
    )
    with caplog.at_level("INFO"):
        data = prepare(everything(root, *sources), scenario("fluency", "clarity"), seed=0)
    assert all(row.references[0].strip() for row in flat(data.train))
    for name, count, kept in (("blank", 3, 2), ("unanswered", 3, 1), ("lines", 1, 1), ("deleted", 1, 1)):
        assert data.report["sources"][name]["left_out"] == {"no answer": count}
        assert f"{name}: {count + kept} rows read, left out: {count} x no answer" in caplog.messages


def test_embedded_source_gives_what_its_use_task_and_rows_ask_for(root):
    embedded = {"format": "embedded", "rows": 30}
    sources = (
        {**embedded, "name": "all", "use": "evaluation"},
        {**embedded, "name": "some", "task": "fluency", "use": "train"},
        {**embedded, "name": "held", "task": "clarity"},
    )
    data = prepare(config(root, ALPACA, *sources), scenario("fluency", unseen=("clarity",)), seed=0)
    assert {row.source for row in data.train["fluency"]} == {"some"}
    assert len(data.train["fluency"]) == 30
    assert data.report["sources"]["some"]["kept"] == {"train": {"fluency": 30}, "dev": {}, "test": {}}
    assert data.report["sources"]["held"]["held_out"] == 30
    assert len(data.test["clarity"]) >= 250
    assert data.report["sources"]["all"]["leaked"] == 0
