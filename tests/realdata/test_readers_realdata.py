"""The readers on real files: the counts that their publishers give, and the traps that were found in them."""

import os
from collections import Counter
from pathlib import Path

import pytest

from mixwright.config import SourceConfig, load_config
from mixwright.data import splits
from mixwright.data.detokenize import detokenize
from mixwright.data.prepare import prepare
from mixwright.data.readers import READERS, read
from mixwright.records import Example
from mixwright.scenarios import load_scenario

PROJECT = Path(__file__).parents[2]
ROOT = Path(os.environ.get("MIXWRIGHT_DATA", PROJECT.parent / "shared" / "data"))
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not ROOT.is_dir(), reason=f"no real data in {ROOT}; set MIXWRIGHT_DATA to its folder"),
]


def reading(format, path, **settings):
    return read(SourceConfig(name="real", format=format, path=path, **settings), ROOT)


def rows_read(made):
    return len(made.examples) + sum(made.left_out.values())


def asset(count=10):
    return tuple(f"asset/asset.valid.simp.{number}" for number in range(count))


@pytest.mark.parametrize(
    ("format", "path", "settings", "expected"),
    [
        ("alpaca", "alpaca/alpaca_data.json", {}, 52_002),
        ("m2", "eracond", {"task": "t"}, 1_725),
        ("m2", "cweb/CWEB-G.dev.m2", {"task": "t"}, 3_867),
        ("m2", "cweb/CWEB-S.dev.m2", {"task": "t"}, 2_862),
        ("parallel", "jfleg/dev.src", {"task": "t", "references": tuple(f"jfleg/dev.ref{n}" for n in range(4))}, 754),
        ("iterater", "iterater/train.json", {}, 3_254),
        ("iterater", "iterater/dev.json", {}, 400),
        ("wikisplit", "wikisplit/tune.tsv", {"task": "t"}, 5_000),
        ("wikisplit", "wikisplit/validation.tsv", {"task": "t"}, 5_000),
        ("onestopenglish", "onestopenglish/ADV-INT.txt", {"task": "t"}, 2_154),
        ("onestopenglish", "onestopenglish/ADV-ELE.txt", {"task": "t"}, 2_166),
        ("onestopenglish", "onestopenglish/ELE-INT.txt", {"task": "t", "reverse": True}, 1_674),
        ("parallel", "asset/asset.valid.orig", {"task": "t", "references": asset()}, 2_000),
        ("parallel", "wnc/dev.biased.txt", {"task": "t", "references": ("wnc/dev.neutral.txt",)}, 1_803),
        ("parallel", "wnc/train.biased.txt", {"task": "t", "references": ("wnc/train.neutral.txt",)}, 34_272),
        ("stsb", "stsb/sts-train.csv", {"task": "t"}, 5_749),
        ("stsb", "stsb/sts-dev.csv", {"task": "t"}, 1_500),
    ],
    ids=lambda value: value if isinstance(value, str) and "/" in value else None,
)
def test_every_row_of_a_real_file_is_read_or_counted(format, path, settings, expected):
    assert rows_read(reading(format, path, **settings)) == expected


def test_alpaca_leaves_out_only_rows_without_an_answer():
    assert reading("alpaca", "alpaca/alpaca_data.json").left_out == {"no answer": 28}


def test_dialogues_are_groups_and_most_turns_have_edits():
    source = SourceConfig(name="real", format="m2", path="eracond", task="t")
    turns = list(READERS["m2"](source, ROOT, Counter()))
    assert len({turn.group for turn in turns}) == 185  # of 186 files one is empty
    changed = sum(set(turn.references) != {turn.text} for turn in turns)
    assert 1_450 <= changed <= 1_464  # edits of blanks alone change nothing


def test_two_annotators_give_two_references_of_each_sentence_also_where_they_agree():
    counts = Counter(len(example.references) for example in reading("m2", "cweb/CWEB-S.dev.m2", task="t").examples)
    assert set(counts) == {2}


def test_jfleg_and_asset_keep_all_their_references():
    references = tuple(f"jfleg/dev.ref{n}" for n in range(4))
    jfleg = reading("parallel", "jfleg/dev.src", references=references, task="t", detokenize=False)
    assert {len(example.references) for example in jfleg.examples} == {4}
    simplified = reading("parallel", "asset/asset.valid.orig", references=asset(), task="t")
    assert {len(example.references) for example in simplified.examples} == {10}


def test_similar_pairs_are_the_paraphrases():
    made = reading("stsb", "stsb", task="t")
    assert 300 <= len(made.examples) <= 322
    assert made.left_out["similarity below 5"] == 7_249 - 322


def test_easier_sentences_are_the_references_of_every_pair_of_levels():
    for path, reverse in (("ADV-INT", False), ("ADV-ELE", False), ("ELE-INT", True)):
        examples = reading("onestopenglish", f"onestopenglish/{path}.txt", task="t", reverse=reverse).examples
        words, easier = (sum(map(len, texts)) for texts in ([e.text for e in examples], [e.references[0] for e in examples]))
        assert easier < words


def test_splits_of_revisions_share_documents_which_both_go_to_one_side():
    both = SourceConfig(name="real", format="iterater", path="iterater", evaluation_fraction=0.3)
    examples = read(both, ROOT).examples
    files: dict[str, set[str]] = {}
    sides: dict[str, set[str]] = {}
    for example in examples:
        files.setdefault(example.group, set()).add(example.id.split(":")[1])
        sides.setdefault(example.group, set()).add(splits.assign_split(both, example, 0))
    assert sum(len(names) == 2 for names in files.values()) >= 10
    assert all(len(side) == 1 for side in sides.values())


def test_turkcorpus_for_training_and_asset_for_scoring_leaves_next_to_nothing_to_learn():
    references = tuple(f"turkcorpus/tune.truecase.detok.simp.{n}" for n in range(8))
    turk = reading("parallel", "turkcorpus/tune.truecase.detok.orig", references=references, task="t").examples
    keys = splits.keys_of_all(reading("parallel", "asset/asset.valid.orig", references=asset(), task="t").examples)
    assert len(splits.without_leaks(turk, keys).kept) <= 20


def texts_of(examples: tuple[Example, ...]) -> list[str]:
    return [text for example in examples for text in (example.text, *example.references)]


def test_detokenised_real_text_is_settled_and_has_no_loose_marks():
    jfleg = reading("parallel", "jfleg/dev.src", references=("jfleg/dev.ref0",), task="t").examples
    cweb = reading("m2", "cweb/CWEB-G.dev.m2", task="t").examples
    texts = texts_of(jfleg) + texts_of(cweb)
    assert all(detokenize(text) == text for text in texts)
    assert sum(" ," in text or " n't" in text for text in texts) < len(texts) / 500


def test_text_that_was_never_tokenised_is_left_alone():
    plain = reading("onestopenglish", "onestopenglish/ADV-INT.txt", task="t", detokenize=False).examples
    assert [text for text in texts_of(plain) if detokenize(text) != " ".join(text.split())] == []


def test_real_space_is_prepared_without_leaks_and_every_row_is_accounted_for(monkeypatch):
    monkeypatch.setenv("MIXWRIGHT_DATA", str(ROOT))
    config = load_config(PROJECT / "search_spaces" / "real_small.yaml")
    scenario = load_scenario(config.scenario)
    data = prepare(config.data, scenario, seed=0)
    assert min(len(data.train[task]) for task in scenario.seen) >= 400
    assert min(min(counts["dev"], counts["test"]) for counts in data.report["tasks"].values()) >= 30
    for counts in data.report["sources"].values():
        kept = sum(sum(by_task.values()) for by_task in counts["kept"].values())
        assert (
            counts["read"] == kept + sum(counts["left_out"].values()) + counts["held_out"] + counts["leaked"] + counts["repeated"]
        )
    train, dev, test = (
        splits.keys_of_all(row for rows in split.values() for row in rows) for split in (data.train, data.dev, data.test)
    )
    assert not train & (dev | test)
    assert not dev & test
