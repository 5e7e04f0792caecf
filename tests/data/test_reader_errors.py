"""Bad files: one clear line that names file, line, rule, value and way out."""

import json
import re

import pytest
from made_up_files import reading, write, write_jsonl

from mixwright.errors import DataError

ROW = {"instruction": "Sing.", "input": "", "output": "La"}
GOOD_LINE = json.dumps({"before_sent": "a", "after_sent": "b", "labels": "fluency", "doc_id": "d"})
FORMATS = {
    "alpaca": {},
    "m2": {"task": "t"},
    "iterater": {},
    "wikisplit": {"task": "t"},
    "onestopenglish": {"task": "t"},
    "stsb": {"task": "t"},
    "jsonl": {"task": "t"},
    "parallel": {"task": "t", "references": ("f",)},
}


def message(tmp_path, format, **settings):
    with pytest.raises(DataError) as caught:
        reading(tmp_path, format, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("format", "settings"), FORMATS.items(), ids=FORMATS)
def test_missing_file_is_named_with_its_nearest_neighbour(tmp_path, format, settings):
    write(tmp_path / "data.one", "x")
    text = message(tmp_path, format, path="data.two", **settings)
    assert str(tmp_path / "data.two") in text
    assert "did you mean 'data.one'" in text


@pytest.mark.parametrize(("format", "settings"), FORMATS.items(), ids=FORMATS)
@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_empty_file_is_an_error(tmp_path, format, settings, content):
    write(tmp_path / "f", content)
    assert "is empty" in message(tmp_path, format, path="f", **settings)


@pytest.mark.parametrize(("format", "settings"), FORMATS.items(), ids=FORMATS)
def test_bytes_that_are_not_utf8_are_named_by_line_and_offset(tmp_path, format, settings):
    write(tmp_path / "f", b"fine\nnot \xe9 fine\n")
    text = message(tmp_path, format, path="f", **settings)
    assert re.search(r"f:2: must be UTF-8, byte 9 is 0xe9", text)


@pytest.mark.parametrize("format", ["m2", "iterater", "wikisplit", "onestopenglish", "stsb", "jsonl"])
def test_folder_without_rows_says_which_files_it_looks_for(tmp_path, format):
    write(tmp_path / "d/README.md", "no rows")
    assert re.search(r"no rows in files ending in \.", message(tmp_path, format, path="d", **FORMATS[format]))


def test_folder_where_one_file_is_wanted_says_so(tmp_path):
    (tmp_path / "d").mkdir()
    assert "is a folder" in message(tmp_path, "alpaca", path="d")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[{]", "f:1: not valid JSON at column 3"),
        ('{"a": 1}', "must be a JSON list of rows, got dict"),
        (json.dumps([ROW, "x"]), "row 2: must be an object"),
        (json.dumps([ROW, {"instruction": "a", "input": "", "outputs": "b"}]), "row 2: no column 'output'.*did you mean 'outputs'"),
        (json.dumps([{**ROW, "output": None}]), "row 1: column 'output' must hold text, got null"),
        (json.dumps([{**ROW, "output": ""}]), r"source 'made': no row can be used \(1 x no answer\)"),
        ("[]", "no row can be used"),
    ],
)
def test_broken_alpaca_files(tmp_path, content, told):
    write(tmp_path / "f", content)
    assert re.search(told, message(tmp_path, "alpaca", path="f"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("A 0 1|||X|||y|||R|||-|||0\n", "f:1: an edit before any sentence"),
        ("S a b\nB what\n", "f:2: must open with `S ` or `A `, got 'B what'"),
        ("S a b\nA 0 1|||X|||y\n", "f:2: must read `A START END"),
        ("S a b\nA zero 1|||X|||y|||R|||-|||0\n", "f:2: must read"),
        ("S a b\nA 1 3|||X|||y|||R|||-|||0\n", "f:2: the edit spans 1 to 3, the sentence has 2 tokens"),
        ("S a b\nA 0 2|||X|||y|||R|||-|||0\nA 1 2|||X|||z|||R|||-|||0\n", "f:1: edits of one annotator overlap at token 1"),
    ],
)
def test_broken_m2_files(tmp_path, content, told):
    write(tmp_path / "f", content)
    assert told in message(tmp_path, "m2", path="f", task="t")


def test_aligned_files_of_different_length_are_both_counted(tmp_path):
    write(tmp_path / "s", "a\nb\nc\n")
    write(tmp_path / "r", "a\nb\n")
    text = message(tmp_path, "parallel", path="s", references=("r",), task="t")
    assert re.search(r"r: has 2 lines, .*s has 3; aligned files must have as many lines", text)


def test_a_hole_in_one_of_several_reference_files_is_named_by_file_and_line(tmp_path):
    for name, content in (("s", "a\nb\n"), ("r0", "A\nB\n"), ("r1", "A\n \n")):
        write(tmp_path / name, content)
    text = message(tmp_path, "parallel", path="s", references=("r0", "r1"), task="t")
    assert "r1:2: is blank where other reference files have text; fill the hole" in text


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "f:2: not valid JSON at column 2"),
        ("[1]", "f:2: must be a JSON object, got list"),
        (GOOD_LINE.replace("labels", "label"), "f:2: no column 'labels'.*did you mean 'label'"),
        (GOOD_LINE.replace('"d"', "[1]"), "f:2: column 'doc_id' must hold text"),
    ],
)
def test_broken_iterater_lines(tmp_path, line, told):
    write(tmp_path / "f", f"{GOOD_LINE}\n{line}\n")
    assert re.search(told, message(tmp_path, "iterater", path="f"))


@pytest.mark.parametrize("line", ["no tab", "a\tb", "a\tb <::::> c\td", "a\tb <::::> c <::::> d"])
def test_broken_wikisplit_lines(tmp_path, line):
    write(tmp_path / "f", f"a b\ta <::::> b\n{line}\n")
    assert "f:2: must read `SENTENCE<tab>FIRST <::::> SECOND`" in message(tmp_path, "wikisplit", path="f", task="t")


@pytest.mark.parametrize(("block", "lines"), [("only one", 1), ("a\nb\nc", 3)])
def test_broken_onestopenglish_blocks(tmp_path, block, lines):
    write(tmp_path / "f", f"a\nb\n*******\n{block}\n*******\n")
    assert f"f:4: a block must have two lines before the asterisks, got {lines}" in message(
        tmp_path, "onestopenglish", path="f", task="t"
    )


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("a\tb\tc", "f:1: must have seven tab-separated columns or more, got 3"),
        ("a\tb\tc\td\thigh\tx\ty", "f:1: column 5 must be a similarity of 0 to 5, got 'high'"),
        ("a\tb\tc\td\t7\tx\ty", "got '7'"),
        ("a\tb\tc\td\tnan\tx\ty", "got 'nan'"),
    ],
)
def test_broken_stsb_lines(tmp_path, line, told):
    write(tmp_path / "f", line + "\n")
    assert told in message(tmp_path, "stsb", path="f", task="t")


def test_absent_jsonl_column_is_told_with_those_that_are_there(tmp_path):
    write_jsonl(tmp_path / "f", [{"texts": "a", "references": "b"}])
    text = message(tmp_path, "jsonl", path="f", task="t")
    assert re.search(r"f:1: no column 'text' for `text`; it has texts, references: set .*did you mean 'texts'", text)


def test_misspelt_optional_column_is_an_error_where_it_is_asked_for(tmp_path):
    write_jsonl(tmp_path / "f", [{"text": "a", "references": "b", "doc": "c"}])
    text = message(tmp_path, "jsonl", path="f", task="t", columns={"group": "docs"})
    assert "no column 'docs' for `group`" in text


def test_jsonl_row_that_says_no_task_is_an_error(tmp_path):
    write_jsonl(tmp_path / "f", [{"text": "a", "references": "b"}])
    assert "f:1: no column says what task a row serves" in message(tmp_path, "jsonl", path="f")


@pytest.mark.parametrize("references", [None, 3, [1], {"a": 1}])
def test_references_of_another_type_are_an_error(tmp_path, references):
    write_jsonl(tmp_path / "f", [{"text": "a", "references": references}])
    assert "f:1: column 'references' must hold text" in message(tmp_path, "jsonl", path="f", task="t")
