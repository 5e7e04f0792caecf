"""Are our scores those of the stock tools, and how much sooner are they there?

    python benchmarks/metrics.py [--quick] [--rounds N] [--json]

errant_speedup               Ours: `EditF.rows` with nothing in memory, edits as Ray tasks on all CPUs. Rival: `errant_parallel`
                             for the outputs, again for the references, then `errant_compare -cat 3`.
errant_speedup_one_core      Ours: the same in one process, without Ray. Rival: the same.
errant_speedup_next_rung     Ours: one process that has scored other outputs of the same rows before. Rival: `errant_parallel`
                             for the outputs and `errant_compare`; a careful user has kept the references' m2.
sari_speedup                 Ours: `Sari`, caches empty. Rival: the plain definition in tests/evaluate/plain_scores.py, since
                             EASSE cannot be installed from PyPI.
sari_speedup_next_rung       Ours: the same with the words of earlier rungs known. Rival: the same.
gleu_speedup                 Ours: `official_gleu`, the official script's own 500 draws of references, for the second system of
                             a table and all that follow: the draws, which hang on no text, are kept from the first. Rival:
                             the plain definition, which goes row by row and draw by draw as that script does.
gleu_speedup_first_system    Ours: the same with nothing kept. Rival: the same.
gleu_speedup_expectation     Ours: `Gleu`, the exact expectation over all draws. Rival: the same.
max_abs_difference           The largest difference between our score and the rival's on a scale of 100: SARI, GLEU's mean and
                             standard deviation, and all that `errant_compare` prints, error type by error type, under -cs,
                             -cse, -ds and -dt.

No side's seconds hold the start of an interpreter or the load of a model: ERRANT's commands run in this process with a model that
is there, on files as a user runs them, and Ray's workers have theirs (`ray_start_seconds` is what that costs us once).

Data: JFLEG dev and ASSET valid, where the first reference stands in for a system; CWEB dev G and S with a made-up system
(tests/golden/parallel_texts.py).
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

from common import Measurement, Outcome, arguments, data_folder, load, publish, speedup, timed
from parallel_texts import Parallel, asset, cweb, jfleg
from plain_scores import plain_official_gleu, plain_sari, tokenize_13a_by_line

from mixwright.config import ClusterConfig
from mixwright.errors import run_job
from mixwright.evaluate import parsing
from mixwright.evaluate.edit_report import EditReport, edit_report
from mixwright.evaluate.edits import EditCounts, EditF, Match
from mixwright.evaluate.gleu import Gleu, drawn_below, official_gleu
from mixwright.evaluate.sari import Sari
from mixwright.evaluate.tokenize13a import word_tokens_13a

ERRANT, SARI, GLEU = ("jfleg", "cweb-G", "cweb-S"), "asset", "jfleg-gleu"
RIVAL, OURS = "stock", "mixwright"
ONE_CORE, NEXT_RUNG, RIVAL_NEXT_RUNG = "mixwright one core", "mixwright next rung", "stock next rung"
FIRST_SYSTEM, EXPECTATION = "mixwright first system", "mixwright expectation"
MATCHES: dict[str, Match] = {"-cs": "correction", "-cse": "correction_and_type", "-ds": "detection", "-dt": "token_detection"}
DRAWS = 500

Table = dict[str, list[float]]
"""A line of `errant_compare`, by error type and `total`: tp, fp, fn, precision, recall, F0.5."""


@dataclass
class Notes:
    """What is gathered on the way."""

    rows: list[Measurement]
    difference: float = 0.0

    def take(self, what: str, side: str, number: int, seconds: float) -> None:
        self.rows.append(Measurement(what=what, side=side, round=number, seconds=seconds))

    def compare(self, ours: Sequence[float], theirs: Sequence[float]) -> None:
        self.difference = max([self.difference, *(abs(a - b) for a, b in zip(ours, theirs, strict=True))])


def main() -> int:
    options = arguments("Our scorers beside the stock tools: the same numbers, and how much sooner.")
    data, before = data_folder(), load()
    texts = {"jfleg": jfleg(data), "cweb-G": cweb(data, "G"), "cweb-S": cweb(data, "S")}
    simplifications = asset(data)
    if options.quick:
        texts = {name: some.first(80) for name, some in texts.items()}
        simplifications = simplifications.first(400)
    notes = Notes(rows=[])
    with silent_cluster(), tempfile.TemporaryDirectory() as folder:
        _, ray_start = timed(lambda: warm_workers(jfleg(data).first(64)))
        stock = StockErrant(Path(folder))
        for number in range(options.rounds):
            for name, some in texts.items():
                errant_round(stock, name, some, number, notes)
            sari_round(simplifications, number, notes)
            gleu_round(jfleg(data), number, notes)
    figures = {**speedups(notes.rows), "max_abs_difference": notes.difference, "ray_start_seconds": round(ray_start, 2)}
    publish(Outcome(figures=figures, rows=notes.rows), before, as_json=options.json)
    return 0


def speedups(rows: Sequence[Measurement]) -> dict[str, float]:
    """The figures that are ratios of seconds."""
    return {
        "errant_speedup": speedup(rows, OURS, RIVAL, ERRANT),
        "errant_speedup_jfleg": speedup(rows, OURS, RIVAL, "jfleg"),
        "errant_speedup_cweb": speedup(rows, OURS, RIVAL, ("cweb-G", "cweb-S")),
        "errant_speedup_one_core": speedup(rows, ONE_CORE, RIVAL, ERRANT),
        "errant_speedup_next_rung": speedup(rows, NEXT_RUNG, RIVAL_NEXT_RUNG, ERRANT),
        "sari_speedup": speedup(rows, OURS, RIVAL, SARI),
        "sari_speedup_next_rung": speedup(rows, NEXT_RUNG, RIVAL, SARI),
        "gleu_speedup": speedup(rows, OURS, RIVAL, GLEU),
        "gleu_speedup_first_system": speedup(rows, FIRST_SYSTEM, RIVAL, GLEU),
        "gleu_speedup_expectation": speedup(rows, EXPECTATION, RIVAL, GLEU),
    }


class StockErrant:
    """ERRANT's own commands, run as a user runs them, in this process and with a model that is loaded once."""

    def __init__(self, folder: Path) -> None:
        import errant
        import spacy
        from errant.commands import compare_m2, parallel_to_m2

        self._folder = folder
        self._load = mock.patch.object(errant, "load", return_value=self._annotator(errant, spacy))
        self._parallel, self._compare = parallel_to_m2.main, compare_m2.main

    def _annotator(self, errant: Any, spacy: Any) -> Any:
        """As `errant.load("en")` makes it, with the model that we use too."""
        return errant.load("en", spacy.load(parsing.model_name(), disable=["ner"]))

    def write(self, texts: Parallel) -> None:
        """Writes the files that the commands read."""
        files = {"source": texts.sources, "output": texts.outputs}
        files |= {f"annotator{number}": lines for number, lines in enumerate(texts.annotators)}
        for name, lines in files.items():
            (self._folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def annotate(self, *corrected: str) -> None:
        """`errant_parallel`: the edits of these files, as the first one's name with `.m2`."""
        self._run(self._parallel, "-orig", "source", "-cor", *corrected, "-out", f"{corrected[0]}.m2")

    def table(self, flag: str) -> Table:
        """`errant_compare -cat 3`: what it prints."""
        printed = self._run(self._compare, "-hyp", "output.m2", "-ref", "annotator0.m2", flag, "-cat", "3")
        lines = [line.split() for line in printed.split("\n") if line and not line.startswith("=")]
        table = {kind: [float(cell) for cell in cells] for kind, *cells in lines[1:-2]}
        return {**table, "total": [float(cell) for cell in lines[-1]]}

    def _run(self, command: Callable[[], None], *options: str) -> str:
        printed = StringIO()
        with self._load, chdir(self._folder), mock.patch.object(sys, "argv", ["errant", *options]), redirect_stdout(printed):
            command()
        return printed.getvalue()


def errant_round(stock: StockErrant, name: str, texts: Parallel, number: int, notes: Notes) -> None:
    """Every side once; who begins changes from round to round."""
    stock.write(texts)
    annotators = [f"annotator{one}" for one in range(len(texts.annotators))]

    def rival() -> None:
        _, of_outputs = timed(lambda: stock.annotate("output"))
        _, of_references = timed(lambda: stock.annotate(*annotators))
        _, of_table = timed(lambda: stock.table("-cs"))
        notes.take(name, RIVAL, number, of_outputs + of_references + of_table)
        notes.take(name, RIVAL_NEXT_RUNG, number, of_outputs + of_table)

    def ours() -> None:
        for side, help_from in ((OURS, all_cpus), (ONE_CORE, nullcontext)):
            parsing.shared_extractor.cache_clear()
            with help_from():
                _, seconds = timed(lambda: report(texts, "correction"))
            notes.take(name, side, number, seconds)
        parsing.shared_extractor.cache_clear()
        report(Parallel(texts.sources, texts.sources, texts.annotators), "correction")
        _, seconds = timed(lambda: report(texts, "correction"))
        notes.take(name, NEXT_RUNG, number, seconds)

    for side in (rival, ours) if number % 2 == 0 else (ours, rival):
        side()
    for flag, match in MATCHES.items():
        mine, theirs = as_table(report(texts, match)), stock.table(flag)
        if mine.keys() != theirs.keys():
            raise AssertionError(f"{name} {flag}: error types {sorted(mine.keys() ^ theirs.keys())} stand in one table alone")
        for kind, line in mine.items():
            notes.compare(on_100(line), on_100(theirs[kind]))


def report(texts: Parallel, match: Match) -> EditReport:
    return edit_report(EditF(match=match, tokenized=True).rows(texts.sources, texts.outputs, texts.references))


def as_table(found: EditReport) -> Table:
    """Our counts, with ratios rounded as `errant_compare` prints them."""
    lines: Mapping[str, EditCounts] = {**found.by_type, "total": found.total}
    return {
        kind: [
            *map(float, (counts.tp, counts.fp, counts.fn)),
            *(round(ratio, 4) for ratio in (counts.precision, counts.recall, counts.f_half)),
        ]
        for kind, counts in lines.items()
    }


def on_100(line: Sequence[float]) -> list[float]:
    return [*line[:3], *(100 * ratio for ratio in line[3:])]


def sari_round(texts: Parallel, number: int, notes: Notes) -> None:
    def rival() -> float:
        value, seconds = timed(lambda: plain_sari(texts.sources, texts.outputs, texts.references, tokenize_13a_by_line))
        notes.take(SARI, RIVAL, number, seconds)
        return value

    def ours() -> float:
        metric = Sari()
        word_tokens_13a.cache_clear()
        for side in (OURS, NEXT_RUNG):
            value, seconds = timed(lambda: metric.aggregate(metric.statistics(texts.sources, texts.outputs, texts.references)))
            notes.take(SARI, side, number, seconds)
        return value

    first, second = (rival(), ours()) if number % 2 == 0 else (ours(), rival())
    notes.compare([first], [second])


def gleu_round(texts: Parallel, number: int, notes: Notes) -> None:
    rows = (texts.sources, texts.outputs, texts.references)

    def rival() -> list[float]:
        (mean, std), seconds = timed(lambda: plain_official_gleu(*rows, draws=DRAWS))
        notes.take(GLEU, RIVAL, number, seconds)
        return [100 * mean, 100 * std]

    def ours() -> list[float]:
        drawn_below.cache_clear()
        for side in (FIRST_SYSTEM, OURS):
            drawn, seconds = timed(lambda: official_gleu(*rows, draws=DRAWS))
            notes.take(GLEU, side, number, seconds)
        metric = Gleu(tokens="as_is")
        _, seconds = timed(lambda: metric.aggregate(metric.statistics(*rows)))
        notes.take(GLEU, EXPECTATION, number, seconds)
        return [100 * drawn.mean, 100 * drawn.std]

    first, second = (rival(), ours()) if number % 2 == 0 else (ours(), rival())
    notes.compare(first, second)


@contextmanager
def silent_cluster() -> Iterator[None]:
    """A local Ray cluster for the length of the block."""
    from mixwright.search.cluster import connected

    with connected(ClusterConfig(dashboard=False)):
        yield


def all_cpus() -> Any:
    from mixwright.search.edit_pool import parallel_edits

    return parallel_edits(tokenized=True, from_pairs=0)


def warm_workers(texts: Parallel) -> None:
    """Has the workers load their model, on rows that nobody looks at."""
    from mixwright.search.edit_pool import find_edits

    pairs = [(source, text) for lines in texts.annotators for source, text in zip(texts.sources, lines, strict=True)]
    find_edits(pairs, tokenized=True, cpus=len(os.sched_getaffinity(0)))


if __name__ == "__main__":
    run_job(main)
