"""Every file format on made-up files: what its rows become, and what is left out and counted."""

import json

import pytest
from made_up_files import reading, source, write, write_jsonl

from mixwright.data.readers import READERS, read


def contents(made):
    return [(example.text, example.references) for example in made.examples]


# --- alpaca


def test_alpaca_rows_are_generic_and_bring_their_own_instruction(tmp_path):
    rows = [
        {"instruction": "Name a color.", "input": "", "output": "Blue"},
        {"instruction": "Add them.", "input": "2 and 3", "output": " 5\n"},
    ]
    write(tmp_path / "a.json", json.dumps(rows))
    first, second = reading(tmp_path, "alpaca", path="a.json").examples
    assert (first.id, first.task, first.instruction, first.text, first.references) == (
        "made:1",
        "generic",
        "Name a color.",
        "",
        ("Blue",),
    )
    assert (second.text, second.references) == ("2 and 3", ("5",))


def test_alpaca_keeps_the_spaces_of_code(tmp_path):
    code = "def f(x) :\n    return x , 1"
    write(tmp_path / "a.json", json.dumps([{"instruction": "Write it.", "input": "", "output": code}]))
    assert reading(tmp_path, "alpaca", path="a.json").examples[0].references == (code,)


@pytest.mark.parametrize("placeholder", ["<noinput>", "Noinput", "<No input>", "No input required."])
def test_alpaca_placeholders_for_no_input_become_an_empty_text(tmp_path, placeholder):
    write(tmp_path / "a.json", json.dumps([{"instruction": "Sing.", "input": placeholder, "output": "La"}]))
    assert reading(tmp_path, "alpaca", path="a.json").examples[0].text == ""


def test_alpaca_counts_rows_without_an_answer(tmp_path):
    rows = [{"instruction": "Sing.", "input": "", "output": out} for out in ("La", " ", "La")]
    write(tmp_path / "a.json", json.dumps(rows))
    made = reading(tmp_path, "alpaca", path="a.json")
    assert len(made.examples) == 1
    assert made.left_out == {"no answer": 1, "duplicate row": 1}


# --- m2

M2 = """\
S She go to school every days .
A 1 2|||R:VERB:SVA|||goes|||REQUIRED|||-NONE-|||0
A 5 6|||R:NOUN:NUM|||day|||REQUIRED|||-NONE-|||0
A 1 2|||R:VERB:SVA|||went|||REQUIRED|||-NONE-|||1

S It 's fine .
A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||0
A 3 3|||M:OTHER|||, really|||REQUIRED|||-NONE-|||1

S Nothing here .
"""


def test_m2_gives_the_correction_of_each_annotator_as_a_reference(tmp_path):
    write(tmp_path / "a.m2", M2)
    first = reading(tmp_path, "m2", path="a.m2", task="grammaticality").examples[0]
    assert first.text == "She go to school every days."
    assert first.references == ("She goes to school every day.", "She went to school every days.")


def test_annotators_who_agree_stay_two_references(tmp_path):
    agreed = "S a b\nA 0 1|||X|||y|||R|||-|||0\nA 0 1|||X|||y|||R|||-|||1\n\nS c\n" + "".join(
        f"A -1 -1|||noop|||-NONE-|||REQUIRED|||-NONE-|||{annotator}\n" for annotator in (0, 1)
    )
    (tmp_path / "two.m2").write_text(agreed)
    made = reading(tmp_path, "m2", path="two.m2", task="t")
    assert [example.references for example in made.examples] == [("y b", "y b"), ("c", "c")]


def test_m2_annotator_without_edits_gives_the_sentence_itself(tmp_path):
    write(tmp_path / "a.m2", M2)
    _, second, third = reading(tmp_path, "m2", path="a.m2", task="grammaticality").examples
    assert second.references == ("It's fine.", "It's fine, really.")
    assert third.references == ("Nothing here.",)
    assert third.id == "made:10"


def test_m2_deletes_inserts_and_joins_insertions_at_one_place(tmp_path):
    spans = ["0 1|||U:DET|||", "2 2|||M:ADV|||very", "2 2|||M:ADV|||very||so", "3 3|||M:PUNCT|||."]
    edits = "\n".join(f"A {span}|||REQUIRED|||-NONE-|||0" for span in spans)
    write(tmp_path / "a.m2", f"S The it's good\n{edits}\n")
    assert reading(tmp_path, "m2", path="a.m2", task="g").examples[0].references == ("it's very very good.",)


def test_m2_run_of_blanks_is_one_token_of_the_edits(tmp_path):
    write(tmp_path / "a.m2", "S a b   c d\nA 2 3|||U:SPACE||||||1|||-|||0\nA 4 5|||R:X|||e|||1|||-|||0\n")
    example = reading(tmp_path, "m2", path="a.m2", task="g").examples[0]
    assert (example.text, example.references) == ("a b c d", ("a b c e",))


def test_m2_folder_is_read_file_by_file_each_a_group(tmp_path):
    write(tmp_path / "d/2/b.m2", "S Two .\n")
    write(tmp_path / "d/1/a.m2", "S One .\n\nS And one .\n")
    write(tmp_path / "d/README.md", "no rows")
    write(tmp_path / "d/1/empty.m2", "")
    examples = reading(tmp_path, "m2", path="d", task="g").examples
    assert [(example.id, example.group) for example in examples] == [
        ("made:1/a.m2:1", "1/a.m2"),
        ("made:1/a.m2:3", "1/a.m2"),
        ("made:2/b.m2:1", "2/b.m2"),
    ]


# --- parallel


def test_parallel_lines_carry_all_their_references(tmp_path):
    write(tmp_path / "s", "He do it .\nFine .\n")
    write(tmp_path / "r0", "He does it .\nFine .\n")
    write(tmp_path / "r1", "He did it .\nFine .\n")
    made = reading(tmp_path, "parallel", path="s", references=("r0", "r1"), task="fluency")
    assert contents(made) == [("He do it.", ("He does it.", "He did it.")), ("Fine.", ("Fine.", "Fine."))]


def test_a_line_that_is_blank_in_all_reference_files_is_left_out_and_counted(tmp_path):
    write(tmp_path / "s", "a b\nc d\n")
    write(tmp_path / "r0", "A b\n\n")
    write(tmp_path / "r1", "A B\n \n")
    made = reading(tmp_path, "parallel", path="s", references=("r0", "r1"), task="fluency")
    assert len(made.examples) == 1
    assert made.left_out == {"no answer": 1}


def test_parallel_reads_windows_line_ends_a_missing_last_one_and_a_byte_order_mark(tmp_path):
    write(tmp_path / "s", b"\xef\xbb\xbfone\r\ntwo")
    write(tmp_path / "r", "ONE\nTWO\n")
    assert contents(reading(tmp_path, "parallel", path="s", references=("r",), task="t")) == [("one", ("ONE",)), ("two", ("TWO",))]


def test_parallel_splits_lines_at_line_feeds_alone(tmp_path):
    write(tmp_path / "s", "one\u2028still one\x0band\x85so on\ntwo\n")
    write(tmp_path / "r", "1\n2\n")
    assert len(reading(tmp_path, "parallel", path="s", references=("r",), task="t").examples) == 2


def test_parallel_keeps_text_as_it_is_where_detokenisation_is_off(tmp_path):
    write(tmp_path / "s", "a , b\n")
    write(tmp_path / "r", "a , c\n")
    made = reading(tmp_path, "parallel", path="s", references=("r",), task="t", detokenize=False)
    assert contents(made) == [("a , b", ("a , c",))]


# --- iterater


def revision(before, after, labels="fluency", doc_id="d1"):
    return {"before_sent": before, "after_sent": after, "labels": labels, "doc_id": doc_id, "revision_depth": 1}


def test_iterater_label_names_the_task_and_document_the_group(tmp_path):
    write_jsonl(tmp_path / "i.json", [revision(" A bad one .", "A good one."), revision("x y", "y x", "clarity", "d2")])
    first, second = reading(tmp_path, "iterater", path="i.json").examples
    assert (first.task, first.text, first.references, first.group) == ("fluency", "A bad one.", ("A good one.",), "d1")
    assert (second.task, second.group) == ("clarity", "d2")


def test_iterater_counts_other_labels_duplicates_and_edits_of_spaces_alone(tmp_path):
    rows = [revision("a b", "a c"), revision("a b", "a c"), revision("a b", "z", "style"), revision("so , yes", "so, yes")]
    write_jsonl(tmp_path / "i.json", rows)
    made = reading(tmp_path, "iterater", path="i.json")
    assert len(made.examples) == 1
    assert made.left_out == {"duplicate row": 1, "label 'style'": 1, "nothing changes": 1}


def test_iterater_labels_can_be_mapped_and_one_task_kept(tmp_path):
    write_jsonl(tmp_path / "i.json", [revision("a", "b", "style"), revision("c", "d", "clarity")])
    labels = {"style": "fluency", "clarity": "clarity"}
    assert [e.task for e in reading(tmp_path, "iterater", path="i.json", labels=labels).examples] == ["fluency", "clarity"]
    kept = reading(tmp_path, "iterater", path="i.json", labels=labels, task="clarity")
    assert [e.text for e in kept.examples] == ["c"]
    assert kept.left_out == {"label 'style'": 1}


# --- wikisplit, onestopenglish, stsb


def test_wikisplit_joins_two_sentences_unless_reversed(tmp_path):
    write(tmp_path / "w.tsv", "He came , and he won .\tHe came . <::::> He won .\n")
    assert contents(reading(tmp_path, "wikisplit", path="w.tsv", task="t")) == [("He came. He won.", ("He came, and he won.",))]
    reverse = reading(tmp_path, "wikisplit", path="w.tsv", task="t", reverse=True)
    assert contents(reverse) == [("He came, and he won.", ("He came. He won.",))]


def test_onestopenglish_reads_blocks_and_ignores_the_empty_last_one(tmp_path):
    write(tmp_path / "o.txt", "Hard one.\nEasy one.\n*******\nHard two.\nEasy two. \n*******\n\n")
    made = reading(tmp_path, "onestopenglish", path="o.txt", task="t")
    assert contents(made) == [("Hard one.", ("Easy one.",)), ("Hard two.", ("Easy two.",))]
    assert [example.id for example in made.examples] == ["made:1", "made:4"]


def test_onestopenglish_reversed_takes_the_second_line_as_text(tmp_path):
    write(tmp_path / "o.txt", "Easy.\nHard.\n*******\n")
    assert contents(reading(tmp_path, "onestopenglish", path="o.txt", task="t", reverse=True)) == [("Hard.", ("Easy.",))]


def pair(score, first, second):
    return f"news\tfile\t2012\t1\t{score}\t{first}\t{second}"


def test_stsb_keeps_similar_pairs_once_and_takes_quotes_literally(tmp_path):
    lines = [
        pair("5.000", 'A "quoted man', "A man"),
        pair("3.2", "Far", "Near"),
        pair("5.0", "A man", 'A "quoted man') + "\tlicence\tmore",
        pair("5", "Same.", "Same ."),
    ]
    write(tmp_path / "s.csv", "\n".join(lines) + "\n")
    made = reading(tmp_path, "stsb", path="s.csv", task="t")
    assert contents(made) == [('A "quoted man', ("A man",))]
    assert made.left_out == {"similarity below 5": 1, "the same pair twice": 1, "nothing changes": 1}


def test_stsb_similarity_bound_is_the_source_s(tmp_path):
    write(tmp_path / "s.csv", pair("3.2", "Far", "Near") + "\n" + pair("3.1", "Fa", "Nea") + "\n")
    assert contents(reading(tmp_path, "stsb", path="s.csv", task="t", min_similarity=3.2)) == [("Far", ("Near",))]


# --- jsonl


def test_jsonl_maps_columns_and_lets_rows_name_their_task(tmp_path):
    rows = [
        {"src": "a b", "tgt": ["c", "d", " c "], "kind": "fluency", "doc": 7},
        {"src": "e", "tgt": "f", "kind": "clarity", "doc": 8},
    ]
    write_jsonl(tmp_path / "j.jsonl", rows)
    columns = {"text": "src", "references": "tgt", "task": "kind", "group": "doc"}
    first, second = reading(tmp_path, "jsonl", path="j.jsonl", columns=columns).examples
    assert (first.text, first.references, first.task, first.group) == ("a b", ("c", "d", "c"), "fluency", "7")
    assert second.task == "clarity"


def test_jsonl_labels_map_to_tasks_and_others_are_counted(tmp_path):
    write_jsonl(tmp_path / "j.jsonl", [{"text": "a", "references": "b", "task": label} for label in ("gec", "formal")])
    made = reading(tmp_path, "jsonl", path="j.jsonl", labels={"gec": "grammaticality"})
    assert [example.task for example in made.examples] == ["grammaticality"]
    assert made.left_out == {"label 'formal'": 1}


def test_jsonl_generic_rows_keep_their_instruction_and_need_one(tmp_path):
    rows = [
        {"text": "", "references": "Hi .", "instruction": "Greet ."},
        {"text": "x", "references": "y", "instruction": ""},
        {"text": "x", "references": [], "instruction": "Do it."},
    ]
    write_jsonl(tmp_path / "j.jsonl", rows)
    made = reading(tmp_path, "jsonl", path="j.jsonl", task="generic")
    assert [(example.instruction, example.references) for example in made.examples] == [("Greet .", ("Hi .",))]
    assert made.left_out == {"generic row without an instruction": 1, "no answer": 1}


def test_scenario_rows_get_no_instruction_of_their_own(tmp_path):
    write_jsonl(tmp_path / "j.jsonl", [{"text": "a", "references": "b", "instruction": "Fix it."}])
    assert reading(tmp_path, "jsonl", path="j.jsonl", task="fluency").examples[0].instruction == ""


# --- all of them


def test_every_format_but_the_embedded_one_has_a_reader():
    formats = set(type(source("embedded")).model_fields["format"].annotation.__args__)
    assert set(READERS) == formats - {"embedded"}


def test_reading_twice_gives_equal_examples(tmp_path):
    write(tmp_path / "a.m2", M2)
    config = source("m2", path="a.m2", task="g")
    assert read(config, tmp_path) == read(config, tmp_path)
