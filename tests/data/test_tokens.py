"""The table of tokenised rows: the ids of `render`, made once, kept under a name that all of them hang on, and shared."""

from __future__ import annotations

import dataclasses
import logging
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.data.counted_tokenizer import Counted

from mixwright.config import ModelConfig
from mixwright.data.embedded import embedded_rows
from mixwright.data.tokens import TokenTable, instruction_of, long_rows_line, token_table
from mixwright.models import load_tokenizer
from mixwright.prompts import render
from mixwright.records import GENERIC, Example
from mixwright.scenarios import load_scenario

SCENARIO = load_scenario("writing")
TASKS = ("grammaticality", "simplification", GENERIC)


@pytest.fixture(scope="module")
def rows() -> dict[str, list[Example]]:
    return {task: list(embedded_rows(task, "train", 40, seed=0, source="made")) for task in TASKS}


@pytest.fixture(params=["chat", "plain"])
def tokenizer(request, tiny_model: Path, tiny_model_without_template: Path):
    return load_tokenizer(ModelConfig(name=str(tiny_model if request.param == "chat" else tiny_model_without_template)))


@pytest.fixture
def chat(tiny_model: Path):
    return load_tokenizer(ModelConfig(name=str(tiny_model)))


def made(rows, tokenizer, cache=None, seed=0, scenario=SCENARIO, **settings) -> TokenTable:
    return token_table(rows, tokenizer, scenario, ModelConfig(**settings), seed=seed, cache=cache)


def equals_render(table: TokenTable, rows, tokenizer) -> bool:
    return all(
        (list(found.token_ids), found.prompt_length) == (list(row.token_ids), row.prompt_length)
        for pool in rows.values()
        for example in pool
        for found in [table.rendered(example)]
        for row in [render(tokenizer, instruction_of(example, SCENARIO, seed=0), example.text, example.references[0])]
    )


def test_a_table_holds_what_rendering_row_by_row_gives(rows, tokenizer, tmp_path) -> None:
    for table in (made(rows, tokenizer, max_length=2048), made(rows, tokenizer, tmp_path, max_length=2048)):
        assert equals_render(table, rows, tokenizer)


@pytest.mark.model
def test_a_table_of_the_embedded_model_holds_what_rendering_row_by_row_gives(rows) -> None:
    tokenizer = load_tokenizer(ModelConfig())
    assert equals_render(made(rows, tokenizer), rows, tokenizer)


def test_the_same_rows_are_tokenised_once(rows, tokenizer, tmp_path, caplog) -> None:
    first, second = Counted(tokenizer), Counted(tokenizer)
    cold = made(rows, first, tmp_path)
    with caplog.at_level(logging.INFO):
        warm = made(rows, second, tmp_path)
    assert first.calls > 0
    assert second.calls == 0
    assert warm.table.equals(cold.table)
    assert caplog.messages == [f"tokens: 120 rows taken from {next(tmp_path.glob('*.arrow'))}"]


def test_padding_by_another_call_is_no_other_tokenizer(rows, chat, tmp_path) -> None:
    made(rows, chat, tmp_path)
    chat(["a", "bcd"], padding=True, truncation=True, max_length=2)
    again = Counted(chat)
    made(rows, again, tmp_path)
    assert again.calls == 0


def another_row(rows, **change):
    first = dataclasses.replace(rows[GENERIC][0], **change)
    return {**rows, GENERIC: [first, *rows[GENERIC][1:]]}


def another_wording():
    tree = SCENARIO.model_dump(mode="json")
    tree["tasks"][0]["instructions"]["train"] = ["Put it right."]
    return type(SCENARIO).model_validate(tree)


def another_tokenizer(tokenizer, change):
    copy = pickle.loads(pickle.dumps(tokenizer))
    change(copy)
    return copy


OTHERS = {
    "id": lambda rows, chat: made(another_row(rows, id="made:other"), chat),
    "text": lambda rows, chat: made(another_row(rows, text="Another."), chat),
    "response": lambda rows, chat: made(another_row(rows, references=("Another.",)), chat),
    "instruction": lambda rows, chat: made(another_row(rows, instruction="Another."), chat),
    "fewer rows": lambda rows, chat: made({**rows, GENERIC: rows[GENERIC][1:]}, chat),
    "wordings": lambda rows, chat: made(rows, chat, scenario=another_wording()),
    "seed": lambda rows, chat: made(rows, chat, seed=1),
    "max_length": lambda rows, chat: made(rows, chat, max_length=513),
    "long_rows": lambda rows, chat: made(rows, chat, long_rows="truncate"),
    "template": lambda rows, chat: made(
        rows, another_tokenizer(chat, lambda copy: setattr(copy, "chat_template", " " + copy.chat_template))
    ),
    "no template": lambda rows, chat: made(rows, another_tokenizer(chat, lambda copy: setattr(copy, "chat_template", None))),
    "end token": lambda rows, chat: made(rows, another_tokenizer(chat, lambda copy: setattr(copy, "eos_token", "<|im_start|>"))),
    "vocabulary": lambda rows, chat: made(rows, another_tokenizer(chat, lambda copy: copy.add_tokens(["the"]))),
}


def key(table: TokenTable) -> bytes:
    return table.table.schema.metadata[b"mixwright.key"]


@pytest.mark.parametrize("change", OTHERS)
def test_whatever_token_ids_hang_on_is_in_the_name(rows, chat, change) -> None:
    assert key(made(rows, chat)) == key(made(rows, chat))
    assert key(OTHERS[change](rows, chat)) != key(made(rows, chat))


def test_a_second_reference_is_never_learned_and_makes_no_other_table(rows, chat) -> None:
    first = rows[GENERIC][0].references[0]
    assert key(made(another_row(rows, references=(first, "Another.")), chat)) == key(made(rows, chat))


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [truncated, flipped, lambda content: b"", lambda content: b"not Arrow" * 100])
def test_a_damaged_file_is_made_anew_and_said_in_one_line(rows, chat, tmp_path, caplog, damage) -> None:
    whole = made(rows, chat).table
    made(rows, chat, tmp_path)
    (path,) = tmp_path.glob("*.arrow")
    path.write_bytes(damage(path.read_bytes()))
    assert made(rows, chat, tmp_path).table.equals(whole)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.startswith(f"tokens: {path} is damaged (")
    assert warning.endswith(") and is made anew")
    again = Counted(chat)
    assert made(rows, again, tmp_path).table.equals(whole)
    assert again.calls == 0


def test_processes_that_start_together_leave_one_whole_file(rows, chat, tmp_path) -> None:
    with ThreadPoolExecutor(4) as pool:
        tables = list(pool.map(lambda _: made(rows, chat, tmp_path).table, range(4)))
    assert all(table.equals(tables[0]) for table in tables)
    (path,) = tmp_path.iterdir()
    assert path.suffix == ".arrow"


def test_a_cache_that_cannot_be_written_costs_a_warning_and_not_the_run(rows, chat, tmp_path, caplog) -> None:
    (tmp_path / "file").touch()
    table = made(rows, chat, tmp_path / "file" / "tokens")
    assert equals_render(table, {GENERIC: rows[GENERIC]}, chat)
    assert "cannot be kept" in caplog.text


def test_a_tokenizer_that_cannot_be_written_down_is_never_taken_for_another(rows, chat, tmp_path) -> None:
    class Own:
        """Has no `backend_tokenizer`."""

        chat_template, eos_token_id = None, chat.eos_token_id

        def __call__(self, texts, add_special_tokens):
            return chat(texts, add_special_tokens=add_special_tokens)

    assert made(rows, Own(), tmp_path).lengths(GENERIC)
    assert not list(tmp_path.iterdir())


def test_token_ids_travel_without_a_copy(rows, chat, tmp_path) -> None:
    buffers: list[pickle.PickleBuffer] = []
    table = made(rows, chat, tmp_path)
    table.rendered(rows[GENERIC][0])  # what is worked out on one side stays there
    message = pickle.dumps(table, protocol=5, buffer_callback=buffers.append)
    there = pickle.loads(message, buffers=buffers)
    ids = there.rendered(rows[GENERIC][0]).token_ids
    assert len(message) < 4096
    assert np.shares_memory(np.asarray(ids), np.asarray(table.rendered(rows[GENERIC][0]).token_ids))
    assert ids.readonly
    assert {type(token) for token in ids} == {int}
    assert len(there.rendered(rows[GENERIC][0]).response_mask) == len(ids)


def test_a_table_from_the_cache_lies_in_mapped_memory(rows, chat, tmp_path) -> None:
    before = pa.total_allocated_bytes()
    made(rows, chat, tmp_path)
    warm = made(rows, chat, tmp_path)
    warm.token_count(rows[GENERIC][0])
    assert warm.table.nbytes > 10_000
    assert pa.total_allocated_bytes() - before < 1000


WORDS = " ".join(f"word{number}" for number in range(60))


def long_rows() -> dict[str, list[Example]]:
    def row(name: str, text: str, response: str) -> Example:
        return Example(id=name, source="s", task=GENERIC, text=text, references=(response,), instruction="Say it shortly.")

    return {
        GENERIC: [
            row("text", WORDS, "Numbers."),
            row("response", "One.", WORDS),
            row("no text", "", WORDS),
            row("short", "One.", "1"),
        ]
    }


def test_by_default_long_rows_are_left_out_and_counted(tokenizer) -> None:
    table = made(long_rows(), tokenizer, max_length=320)
    kept = [row.id for row in table.kept(long_rows())[GENERIC]]
    assert kept == ["short"]
    assert (table.left_out(), table.cut()) == ({GENERIC: 3}, {GENERIC: 0})
    assert max(table.lengths(GENERIC)) > 320
    assert long_rows_line(table, 320) == "training rows of more than 320 tokens: 3 left out (3 of generic)"


def test_truncating_cuts_the_end_of_the_text_and_nothing_else(tokenizer) -> None:
    table = made(long_rows(), tokenizer, max_length=320, long_rows="truncate")
    cut, *_ = long_rows()[GENERIC]
    row = table.rendered(cut)
    prompt, response = (tokenizer.decode(ids) for ids in (row.token_ids[: row.prompt_length], row.token_ids[row.prompt_length :]))
    whole = tokenizer.decode(render(tokenizer, cut.instruction, cut.text, "Numbers.").token_ids)
    start, end = whole[: whole.index("word0")], whole[whole.index(WORDS) + len(WORDS) :]
    assert response == "Numbers." + tokenizer.eos_token
    assert prompt.startswith(start + "word0 word1 ")
    assert (prompt + response).endswith(end)
    assert len(row.token_ids) in (319, 320)  # a space at the end of the cut text goes too
    assert [row.id for row in table.kept(long_rows())[GENERIC]] == [name.id for name in table.names()[GENERIC]] == ["text", "short"]
    line = "training rows of more than 320 tokens: 2 left out (2 of generic), 1 cut (1 of generic)"
    assert long_rows_line(table, 320) == line


def test_rows_that_fit_are_said_to(tokenizer) -> None:
    assert long_rows_line(made(long_rows(), tokenizer, max_length=4096), 4096) == "training rows of more than 4096 tokens: none"
    assert made({}, tokenizer).kept({}) == {}
