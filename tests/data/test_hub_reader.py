"""Hub datasets through the `datasets` library, from local folders; and what is told where there is no network."""

import json
import os
import subprocess
import sys

import pytest
from made_up_files import reading, write, write_jsonl

from mixwright.errors import DataError

datasets = pytest.importorskip("datasets")


@pytest.fixture
def coedit(tmp_path):
    """A folder of data files, as `load_dataset` takes it, with CoEdIT's columns."""
    rows = [
        {"_id": "1", "task": "gec", "src": "Fix the grammar: He go home: now .", "tgt": "He goes home: now."},
        {"_id": "2", "task": "simplification", "src": "Make it simple: We utilize it.", "tgt": "We use it."},
        {"_id": "3", "task": "gec", "src": "No prefix here", "tgt": "None"},
        {"_id": "4", "task": "formalize", "src": "Make it formal: hi", "tgt": "Hello."},
    ]
    write_jsonl(tmp_path / "coedit/train.jsonl", rows)
    write_jsonl(tmp_path / "coedit/validation.jsonl", rows[:1])
    return tmp_path


COLUMNS = {"text": "src", "references": "tgt", "task": "task"}
LABELS = {"gec": "grammaticality", "simplification": "simplification"}


def test_local_folder_of_data_files_is_read_with_columns_labels_and_prefix(coedit):
    made = reading(coedit, "hub", hub_id="coedit", columns=COLUMNS, labels=LABELS, strip_instruction_prefix=True)
    assert [(e.id, e.task, e.text, e.references, e.instruction) for e in made.examples] == [
        ("made:1", "grammaticality", "He go home: now.", ("He goes home: now.",), ""),
        ("made:2", "simplification", "We utilize it.", ("We use it.",), ""),
    ]
    assert made.left_out == {"no instruction before a colon": 1, "label 'formalize'": 1}


def test_prefix_of_a_generic_row_becomes_its_instruction(coedit):
    columns = {"text": "src", "references": "tgt"}
    made = reading(coedit, "hub", hub_id="coedit", columns=columns, task="generic", strip_instruction_prefix=True)
    assert (made.examples[0].instruction, made.examples[0].text) == ("Fix the grammar", "He go home: now .")


def test_another_split_is_read_where_asked_for(coedit):
    made = reading(coedit, "hub", hub_id="coedit", hub_split="validation", columns=COLUMNS, labels=LABELS)
    assert len(made.examples) == 1


def test_saved_dataset_with_lists_of_references_is_read(tmp_path):
    rows = {"sentence": ["He go .", "Fine ."], "corrections": [["He goes .", "He went .", ""], ["Fine ."]]}
    datasets.DatasetDict({"validation": datasets.Dataset.from_dict(rows)}).save_to_disk(str(tmp_path / "saved"))
    columns = {"text": "sentence", "references": "corrections"}
    made = reading(tmp_path, "hub", hub_id="saved", hub_split="validation", columns=columns, task="fluency")
    assert [example.references for example in made.examples] == [("He goes.", "He went."), ("Fine.",)]
    datasets.Dataset.from_dict(rows).save_to_disk(str(tmp_path / "alone"))
    assert len(reading(tmp_path, "hub", hub_id="alone", columns=columns, task="fluency").examples) == 2


def test_misspelt_split_of_a_saved_dataset_is_told(tmp_path):
    datasets.DatasetDict({"validation": datasets.Dataset.from_dict({"text": ["a"]})}).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(DataError, match=r"unknown split 'validaton'.*did you mean 'validation'"):
        reading(tmp_path, "hub", hub_id="saved", hub_split="validaton", task="fluency")


def test_absent_column_is_told_with_those_that_are_there(coedit):
    with pytest.raises(DataError, match=r"coedit \[train\]: no column 'source' for `text`; it has _id, task, src, tgt"):
        reading(coedit, "hub", hub_id="coedit", columns={"text": "source", "references": "tgt"}, task="fluency")


def test_null_in_a_column_is_told_by_row(tmp_path):
    write_jsonl(tmp_path / "d/train.jsonl", [{"text": "a", "references": "b"}, {"text": None, "references": "b"}])
    with pytest.raises(DataError, match=r"d \[train\]: row 2: column 'text' must hold text, got null"):
        reading(tmp_path, "hub", hub_id="d", task="fluency")


@pytest.mark.parametrize("files", [{"notes.bin": "no data"}, {"train.jsonl": "{broken"}])
def test_folder_that_cannot_be_loaded_is_one_line(tmp_path, files):
    for name, content in files.items():
        write(tmp_path / "d" / name, content)
    with pytest.raises(DataError, match="cannot load d: ") as caught:
        reading(tmp_path, "hub", hub_id="d", task="fluency")
    assert "\n" not in str(caught.value)


def test_missing_network_is_one_line_that_names_the_id_and_the_way_out(tmp_path):
    script = (
        "import json, pathlib, sys; from mixwright.config import SourceConfig; from mixwright.data.readers import read\n"
        "try: read(SourceConfig(name='made', format='hub', hub_id='nobody/nothing', task='fluency'), pathlib.Path(sys.argv[1]))\n"
        "except Exception as error: print(json.dumps([type(error).__name__, str(error)]))"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=120
    )
    kind, text = json.loads(done.stdout)
    assert kind == "DataError"
    assert "source 'made': cannot load nobody/nothing: " in text
    assert "give the folder as `hub_id`" in text
    assert "\n" not in text
