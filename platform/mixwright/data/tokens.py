"""Training rows rendered and tokenised once, into an Arrow table that the workers of all lanes read.

What comes in: training examples, the tokenizer, the scenario with its wordings, and how long a row may be. What goes out: a
`TokenTable`, from the cache where the same rows were tokenised before. A cached file is named after everything that a token id
hangs on: another row, wording, template, tokenizer or limit is another file, and nothing needs to be cleared by hand.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from tqdm import tqdm

from mixwright.config import ModelConfig
from mixwright.prompts import Rendered, prompt_text, render_all
from mixwright.records import GENERIC, Example
from mixwright.scenarios import Scenario, wording

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

FORMAT = 1
"""Goes up with every change to what a table holds or how a row is cut, so that older files are not found."""
BATCH_ROWS = 1024
KEY, CHECKSUM = b"mixwright.key", b"mixwright.checksum"
"""Names in the schema's metadata."""


class Bound(NamedTuple):
    """A training row with the instruction that it is learned with."""

    task: str
    id: str
    instruction: str
    text: str
    response: str


class RowName(NamedTuple):
    """A training row by its name, where its content is in the table."""

    task: str
    id: str
    response_of: str = ""
    """Id of the row of the same task whose response it is learned with; empty: its own."""


class TokenTable:
    """Rendered training rows by task and id; all token ids lie in one Arrow buffer, which processes can share.

    Columns: task, id, token_ids (empty where the row is too long and left out), prompt_length, and length: the row's tokens
    before any cut.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __reduce__(self) -> tuple[Any, ...]:
        return TokenTable, (self.table,)  # the index is made again where it is needed; Arrow's buffers travel as they are

    def rendered(self, row: RowName | Example) -> Rendered:
        """The row as the model sees it; its token ids are a view into the table."""
        number = self._numbers[row.task][row.id]
        ids = self._token_ids[self._starts[number] : self._starts[number + 1]]
        prompt_length = self._prompt_lengths[number]
        if isinstance(row, RowName) and row.response_of:
            return Rendered(token_ids=(*ids[:prompt_length], *self._response(row)), prompt_length=prompt_length)
        return Rendered(token_ids=ids, prompt_length=prompt_length)

    def token_count(self, row: RowName | Example) -> int:
        """Tokens that go through the model; 0 where the row is left out."""
        number = self._numbers[row.task][row.id]
        if isinstance(row, RowName) and row.response_of:
            return self._prompt_lengths[number] + len(self._response(row))
        return self._starts[number + 1] - self._starts[number]

    def with_response_of(self, row: RowName, other: RowName) -> RowName | None:
        """As in `quality.Contents`; no longer than the longest row that is learned. Prompt and response are tokenised apart, so
        that the tokens are those of the texts."""
        wrong = row._replace(response_of=other.id)
        if self._response(wrong) == self._response(row) or self.token_count(wrong) > self._longest:
            return None
        return wrong

    def overlap(self, row: RowName) -> float:
        """Share of the response's tokens, the end token left out, that stand in the prompt; 0 for an empty response."""
        number = self._numbers[row.task][row.id]
        start, response = self._starts[number], self._response(row)[:-1]
        prompt = set(self._token_ids[start : start + self._prompt_lengths[number]])
        return sum(token in prompt for token in response) / max(1, len(response))

    def _response(self, row: RowName) -> memoryview:
        number = self._numbers[row.task][row.response_of or row.id]
        return self._token_ids[self._starts[number] + self._prompt_lengths[number] : self._starts[number + 1]]

    @functools.cached_property
    def _longest(self) -> int:
        """Tokens of the longest row that is not left out."""
        return int(self._kept_lengths.max(initial=0))

    def lengths(self, task: str) -> list[int]:
        """Tokens of each of the task's rows, before any cut."""
        return [int(length) for length in self._lengths[list(self._numbers.get(task, {}).values())]]

    def kept(self, examples: Mapping[str, Sequence[Example]]) -> dict[str, list[Example]]:
        """Those of the examples that are not left out, by task."""
        return {task: [row for row in rows if self.token_count(row)] for task, rows in examples.items()}

    def names(self) -> dict[str, list[RowName]]:
        """The rows that are not left out, by task."""
        kept = self._kept_lengths > 0
        return {
            task: [RowName(task, row) for row, number in numbers.items() if kept[number]] for task, numbers in self._numbers.items()
        }

    def left_out(self) -> dict[str, int]:
        """Rows that are too long to learn, by task."""
        return self._count(self._kept_lengths == 0)

    def cut(self) -> dict[str, int]:
        """Rows whose text was cut, by task."""
        return self._count((self._kept_lengths > 0) & (self._kept_lengths < self._lengths))

    def _count(self, marks: Any) -> dict[str, int]:
        return {task: int(marks[list(numbers.values())].sum()) for task, numbers in self._numbers.items()}

    @functools.cached_property
    def _numbers(self) -> dict[str, dict[str, int]]:
        """Task -> id -> number of the row."""
        numbers: dict[str, dict[str, int]] = {}
        for number, (task, row) in enumerate(zip(*(self.table[name].to_pylist() for name in ("task", "id")), strict=True)):
            numbers.setdefault(task, {})[row] = number
        return numbers

    @functools.cached_property
    def _token_ids(self) -> memoryview:
        """Of all rows. Slices of it hold Python's ints, as a tuple does; those of an array would be NumPy's."""
        return _view(self._column("token_ids").values, "i")

    @functools.cached_property
    def _starts(self) -> memoryview:
        return _view(self._column("token_ids").offsets, "q")

    @functools.cached_property
    def _prompt_lengths(self) -> memoryview:
        return _view(self._column("prompt_length"), "i")

    @property
    def _lengths(self) -> Any:
        return np.asarray(_view(self._column("length"), "i"))

    @property
    def _kept_lengths(self) -> Any:
        return np.diff(np.asarray(self._starts))

    def _column(self, name: str) -> pa.Array:
        column = self.table[name]
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # which copies, also a single chunk


def _view(array: pa.Array, kind: Literal["i", "q"]) -> memoryview:
    """The numbers of an Arrow array. Its own `to_numpy` would load pandas, for some tens of MiB in each worker."""
    assert array.offset == 0, "a table is never a slice of another"
    return memoryview(array.buffers()[-1] or b"").cast(kind)


def token_table(
    examples: Mapping[str, Sequence[Example]],
    tokenizer: Any,
    scenario: Scenario,
    model: ModelConfig,
    *,
    seed: int,
    cache: Path | None = None,
) -> TokenTable:
    """All training rows as the model sees them, taken from the cache where they were tokenised before.

    A row of more than `model.max_length` tokens is left out, or its text is cut where `model.long_rows` is truncate: the end of
    the text goes, so that the instruction, the text's start, the template's own end and the whole response stay. LLaMA-Factory
    keeps the start of the source as well; a cut of the finished sequence, as in TRL or Axolotl, would take the response's end.
    A row that does not fit without any text is left out.

    Args:
        examples: by task.
        seed: the one that binds wordings to rows.
        cache: folder of tables; made where missing. One that cannot be written to costs a warning, never the run.
    """
    rows = [
        Bound(row.task, row.id, instruction_of(row, scenario, seed=seed), row.text, row.references[0])
        for pool in examples.values()
        for row in pool
    ]
    key = table_key(rows, tokenizer, model)
    if cache is None or key is None:
        return TokenTable(_tokenised(rows, tokenizer, model, key or ""))
    path = cache / f"{key}.arrow"
    if (table := _read(path, key)) is not None:
        logger.info("tokens: %d rows taken from %s", len(rows), path)
        return TokenTable(table)
    started = time.perf_counter()
    table = _tokenised(rows, tokenizer, model, key)
    seconds = time.perf_counter() - started
    logger.info("tokens: %d rows tokenised in %.1f s (%.0f rows/s)", len(rows), seconds, len(rows) / seconds)
    return TokenTable(_stored(table, path, key))


def long_rows_line(table: TokenTable, max_length: int) -> str:
    """What became of the rows over the limit, in one sentence."""
    parts = [
        f"{sum(counts.values())} {fate} ({', '.join(f'{count} of {task}' for task, count in counts.items() if count)})"
        for fate, counts in (("left out", table.left_out()), ("cut", table.cut()))
        if any(counts.values())
    ]
    return f"training rows of more than {max_length} tokens: {', '.join(parts) or 'none'}"


def instruction_of(example: Example, scenario: Scenario, *, seed: int, evaluation: bool = False) -> str:
    """A generic row's own instruction, else the wording that the seed binds to the row."""
    if example.task == GENERIC:
        return example.instruction
    return wording(scenario.task(example.task), example.id, evaluation=evaluation, seed=seed)


def table_key(rows: Sequence[Bound], tokenizer: Any, model: ModelConfig) -> str | None:
    """A digest of all that the table hangs on; None where the tokenizer cannot be written down, and so not told from another.

    Two prompts stand in for the template's code and the values that it reads: special tokens, or today's date.
    """
    serialised = _serialised(tokenizer)
    if serialised is None:
        return None
    settings = {
        "format": FORMAT,
        "versions": [metadata.version(name) for name in ("tokenizers", "transformers")],
        "tokenizer": serialised,
        "end": tokenizer.eos_token_id,
        "template": tokenizer.chat_template,
        "prompts": [prompt_text(tokenizer, "instruction", text) for text in ("text", "")],
        "max_length": model.max_length,
        "long_rows": model.long_rows,
    }
    digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=16)
    for batch in _batches(rows):
        digest.update(json.dumps(batch).encode())
    return digest.hexdigest()


def _serialised(tokenizer: Any) -> str | None:
    """The content of tokenizer.json, without the padding and truncation that the last call left behind."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    if backend.padding or backend.truncation:
        backend = type(backend).from_str(backend.to_str())
        backend.no_padding()
        backend.no_truncation()
    return str(backend.to_str())


def _batches(rows: Sequence[Bound]) -> Iterator[Sequence[Bound]]:
    return (rows[start : start + BATCH_ROWS] for start in range(0, len(rows), BATCH_ROWS))


def _tokenised(rows: Sequence[Bound], tokenizer: Any, model: ModelConfig, key: str) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema(
        [
            ("task", pa.string()),
            ("id", pa.string()),
            ("token_ids", pa.large_list(pa.int32())),
            ("prompt_length", pa.int32()),
            ("length", pa.int32()),
        ]
    )
    parts = []
    # disable=None: no bar where nobody watches.
    with tqdm(total=len(rows), desc="tokenising", unit="row", leave=False, disable=None) as bar:
        for batch in _batches(rows):
            parts.append(pa.RecordBatch.from_arrays(_columns(batch, tokenizer, model), schema=schema))
            bar.update(len(batch))
    table = pa.Table.from_batches(parts, schema=schema).combine_chunks()
    return table.replace_schema_metadata({KEY: key, CHECKSUM: _checksum(table)})


def _columns(rows: Sequence[Bound], tokenizer: Any, model: ModelConfig) -> list[Any]:
    import pyarrow as pa

    whole = _render(rows, tokenizer)
    lengths = [len(row.token_ids) for row in whole]
    kept: list[Rendered | None] = [row if len(row.token_ids) <= model.max_length else None for row in whole]
    if model.long_rows == "truncate":
        long = [number for number, row in enumerate(kept) if row is None]
        for number, row in zip(long, _cut([rows[number] for number in long], tokenizer, model.max_length), strict=True):
            kept[number] = row
    return [
        pa.array([row.task for row in rows]),
        pa.array([row.id for row in rows]),
        _lists([row.token_ids if row else () for row in kept]),
        pa.array([row.prompt_length if row else 0 for row in kept], pa.int32()),
        pa.array(lengths, pa.int32()),
    ]


def _lists(rows: Sequence[Sequence[int]]) -> pa.Array:
    """A list array; Arrow itself takes several times longer to make one of Python's lists."""
    import pyarrow as pa

    starts = np.cumsum([0, *map(len, rows)])
    values = np.fromiter(itertools.chain.from_iterable(rows), np.int32, count=int(starts[-1]))
    return pa.LargeListArray.from_arrays(pa.array(starts, pa.int64()), pa.array(values))


def _render(rows: Sequence[Bound], tokenizer: Any) -> list[Rendered]:
    return render_all(tokenizer, [(row.instruction, row.text, row.response) for row in rows])


def _cut(rows: Sequence[Bound], tokenizer: Any, max_length: int) -> list[Rendered | None]:
    """Each row with the longest start of its text with which it fits, found by bisection; None where no text is left.

    Tokens of a cut text are not the first tokens of the text, and a template may do anything with it, so each length is tried.
    """
    fitting: list[Rendered | None] = [None] * len(rows)
    low, high = [0] * len(rows), [len(row.text) for row in rows]  # characters that fit, and that do not
    while open_ := [number for number in range(len(rows)) if high[number] - low[number] > 1]:
        middle = {number: (low[number] + high[number]) // 2 for number in open_}
        tried = _render([rows[number]._replace(text=rows[number].text[: middle[number]].rstrip()) for number in open_], tokenizer)
        for number, row in zip(open_, tried, strict=True):
            if len(row.token_ids) <= max_length:
                fitting[number], low[number] = row, middle[number]
            else:
                high[number] = middle[number]
    return fitting


def _checksum(table: pa.Table) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for column in table.columns:
        for chunk in column.chunks:
            for buffer in chunk.buffers():
                digest.update(buffer or b"")
    return digest.hexdigest()


def _stored(table: pa.Table, path: Path, key: str) -> pa.Table:
    """The table as it lies in the cache, mapped into memory; as it is where the cache cannot take it."""
    import pyarrow as pa

    # Whoever comes second replaces the file by an equal one; a reader keeps the one that it has mapped.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        logger.warning("tokens: %s cannot be kept (%s); the next start tokenises again", path, error)
        return table
    mapped = _read(path, key)
    return table if mapped is None else mapped


def _read(path: Path, key: str) -> pa.Table | None:
    """The table of a cached file, mapped into memory and checked; None where there is none or it is damaged."""
    import pyarrow as pa

    if not path.exists():
        return None
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        found = table.schema.metadata or {}
        if (found.get(KEY), found.get(CHECKSUM)) == (key.encode(), _checksum(table).encode()):
            return table
        reason = "its checksum does not fit its content"
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
    logger.warning("tokens: %s is damaged (%s) and is made anew", path, reason)
    return None
