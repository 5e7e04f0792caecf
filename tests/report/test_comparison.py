"""Several runs side by side: every number under its run, and a warning where two cannot be compared."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.report.made_up_run import make_predictions, make_record, make_run, make_trials
from tests.report.made_up_systems import OUTSIDER, make_full_run, make_full_systems
from tests.report.test_report_page import outline

from mixwright import report
from mixwright.errors import DataError, RunError
from mixwright.records import to_json, write_jsonl, write_text

JOB = Path(__file__).parents[2] / "jobs" / "write_report.py"


def two_runs(folder: Path) -> list[Path]:
    make_run(folder / "first")
    make_full_run(folder / "second")
    return [folder / "first", folder / "second"]


def make_evaluation(folder: Path, split: str = "test") -> None:
    """What jobs/batch_evaluate.py leaves: scores and predictions, no search."""
    systems = [
        dataclasses.replace(system, scores=tuple(dataclasses.replace(score, split=split) for score in system.scores))
        for system in make_full_systems()
        if system.name in ("copy", "base", OUTSIDER)
    ]
    tree = {"url": "http://127.0.0.1:8000", "split": split, "systems": [to_json(system) for system in systems]}
    write_text(folder / f"scores-{split}.json", json.dumps(tree))
    for system in systems:
        answers = [dataclasses.replace(item, system=system.name) for item in make_predictions(system.name)]
        write_jsonl(folder / "predictions" / f"{split}-{system.name}.jsonl", answers)


def change_config(run: Path, **changes: object) -> None:
    tree = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    write_text(run / "config.yaml", yaml.safe_dump({**tree, **changes}))


def cell(page: Path, task: str, system: str, run: str) -> str:
    """The words of one cell of the table of scores."""
    table = page.read_text(encoding="utf-8").split('class="results matrix compared')[1].split("</table>")[0]
    body = next(body for body in table.split("<tbody>")[1:] if task in body)
    line = next(line for line in body.split("<tr ")[1:] if f'of-system">{system}<' in line)
    found = re.search(rf'data-label="{run}">(.*?)</td>', line, flags=re.DOTALL)
    assert found
    return " ".join(re.sub(r"<[^>]+>", " ", found[1]).split())


def test_each_systems_score_stands_under_its_run(tmp_path: Path) -> None:
    page = report.compare(two_runs(tmp_path))
    assert cell(page, "grammaticality", "Best adapter", "first").startswith("31.0 ▲ better 28.0–34.2, n = 12")
    assert cell(page, "clarity", "Best adapter", "second").startswith("31.0 ≈? too few rows")
    assert cell(page, "fluency", OUTSIDER, "first") == "–"
    assert cell(page, "fluency", OUTSIDER, "second").startswith("49.0 ▲")
    assert cell(page, "mean of seen", "Base", "second").startswith("27.8")


def test_systems_stand_in_the_same_order_in_every_task_whichever_run_has_them(tmp_path: Path) -> None:
    text = (report.compare(two_runs(tmp_path)).parent / "report.md").read_text(encoding="utf-8")
    names = [line.split(" | ")[2] for line in text.splitlines() if line.startswith("| clarity | SARI |")]
    assert names == ["Base", "Copy of input", "Human", "Best adapter", OUTSIDER]


def test_runs_on_the_same_rows_are_compared_without_a_warning(tmp_path: Path) -> None:
    page = outline(report.compare(two_runs(tmp_path)))
    assert "scored on the same rows" in page.words
    assert "cannot be" not in page.words


def test_other_rows_of_a_task_are_named_and_marked_in_its_cells_and_means(tmp_path: Path) -> None:
    runs = two_runs(tmp_path)
    for name in ("base", "best", OUTSIDER):
        changed = [
            dataclasses.replace(item, text=item.text + " Indeed.", system=name) if item.task == "fluency" else item
            for item in make_predictions(name)
        ]
        write_jsonl(runs[1] / "predictions" / f"test-{name}.jsonl", changed)
    page = report.compare(runs)
    assert "second cannot be compared with first on fluency: the rows differ." in outline(page).words
    assert "‡" in cell(page, "fluency", "Base", "second")
    assert "‡" in cell(page, "mean of seen", "Base", "second")
    assert "‡" not in cell(page, "clarity", "Base", "second")
    assert "‡" not in cell(page, "fluency", "Base", "first")
    assert "the rows differ" in (page.parent / "report.md").read_text(encoding="utf-8")


def test_without_predictions_it_is_said_that_rows_cannot_be_told(tmp_path: Path) -> None:
    runs = two_runs(tmp_path)
    for file in (runs[0] / "predictions").iterdir():
        file.unlink()
    assert "without predictions it cannot be told whether the rows are the same" in outline(report.compare(runs)).words


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": {"name": "someone/other-model"}}, "Base models differ"),
        ({"model": {"template": "alpaca"}}, "Prompts are made by different templates"),
        ({"evaluation": {"max_new_tokens": 12}}, "The longest answer differs"),
        ({"scenario": "notes"}, "Scenarios differ"),
    ],
)
def test_settings_that_bear_on_scores_are_named(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    runs = two_runs(tmp_path)
    change_config(runs[1], **changes)
    assert said in outline(report.compare(runs)).words


def test_another_decoding_of_base_is_named(tmp_path: Path) -> None:
    runs = two_runs(tmp_path)
    for run, method in zip(runs, ("greedy", "beam"), strict=True):
        systems = tuple(
            dataclasses.replace(system, decoding={"method": method, "max_new_tokens": 96.0})
            for system in make_record(make_trials()).systems
        )
        write_text(run / "result.json", json.dumps(to_json(dataclasses.replace(make_record(make_trials()), systems=systems))))
    words = outline(report.compare(runs)).words
    assert "Base decoded in different ways: first method greedy, max new tokens 96, second method beam, max new tokens 96." in words


def test_a_task_trained_here_and_held_out_there_is_named(tmp_path: Path) -> None:
    runs = two_runs(tmp_path)
    record = make_record(make_trials())
    systems = tuple(
        dataclasses.replace(
            system,
            scores=tuple(dataclasses.replace(score, seen=score.seen and score.task != "clarity") for score in system.scores),
        )
        for system in record.systems
    )
    write_text(runs[1] / "result.json", json.dumps(to_json(dataclasses.replace(record, systems=systems))))
    page = report.compare(runs)
    assert "Clarity was trained in first and held out in second" in outline(page).words
    assert "‡" in cell(page, "mean of seen", "Base", "second")


def test_another_split_is_named_and_marked(tmp_path: Path) -> None:
    make_run(tmp_path / "first")
    make_evaluation(tmp_path / "second", split="dev")
    page = report.compare([tmp_path / "first", tmp_path / "second"])
    assert "The runs were scored on different splits: first test, second dev." in outline(page).words
    assert "‡" in cell(page, "fluency", "Base", "second")


def test_a_run_without_a_final_table_stands_beside_one_with(tmp_path: Path) -> None:
    make_run(tmp_path / "first")
    make_run(tmp_path / "second", status="searched", systems=())
    page = report.compare([tmp_path / "first", tmp_path / "second"])
    assert "second has no final table yet" in outline(page).words
    assert cell(page, "fluency", "Base", "second") == "–"


def test_what_was_searched_found_and_paid_stands_side_by_side(tmp_path: Path) -> None:
    text = (report.compare(two_runs(tmp_path)).parent / "report.md").read_text(encoding="utf-8")
    assert "| Best mix | 26 % generic data, LoRA rank 32 | 26 % generic data, LoRA rank 32 |" in text
    assert "| Trials | 5 complete, 2 stopped, 1 failed | 5 complete, 2 stopped, 1 failed |" in text
    assert "| Time | 10 min 28 s | 10 min 28 s |" in text
    assert "usd 0.0123" in text


def test_csv_files_name_the_run_of_every_row(tmp_path: Path) -> None:
    folder = report.compare(two_runs(tmp_path)).parent
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["run"] for row in rows} == {"first", "second"}
    values = {row["value"] for row in rows if (row["system"], row["task"]) == ("best", "fluency")}
    assert values == {"55.2"}


def test_the_default_folder_is_named_after_the_runs_and_links_to_their_reports(tmp_path: Path) -> None:
    runs = two_runs(tmp_path)
    report.build(runs[0])
    page = report.compare(runs)
    assert page == tmp_path / "compare-first-second" / "index.html"
    links = {address for address in outline(page).addresses if address.endswith("index.html")}
    assert links == {"../first/report/index.html"}


def test_runs_of_one_name_are_told_apart_by_their_parents(tmp_path: Path) -> None:
    make_run(tmp_path / "monday" / "demo")
    make_run(tmp_path / "tuesday" / "demo")
    page = report.compare([tmp_path / "monday" / "demo", tmp_path / "tuesday" / "demo"], tmp_path / "out")
    assert cell(page, "fluency", "Base", "tuesday/demo").startswith("41.0")


def test_names_of_runs_are_escaped(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>"
    make_run(tmp_path / name)
    make_run(tmp_path / "second")
    page = report.compare([tmp_path / name, tmp_path / "second"], tmp_path / "out")
    assert "<img" not in page.read_text(encoding="utf-8")
    assert name in outline(page).words


def test_one_run_twice_or_alone_is_refused(tmp_path: Path) -> None:
    make_run(tmp_path / "first")
    with pytest.raises(RunError, match="given twice"):
        report.compare([tmp_path / "first", tmp_path / "second" / ".." / "first"])
    with pytest.raises(RunError, match="two runs or more"):
        report.compare([tmp_path / "first"])


def test_a_folder_of_batch_evaluate_has_a_report_of_its_own(tmp_path: Path) -> None:
    make_evaluation(tmp_path / "asked")
    page = outline(report.build(tmp_path / "asked"))
    assert f"{OUTSIDER}." in page.words
    assert [name for name in page.ids if name in ("results", "power", "systems", "samples", "trials")] == [
        "results",
        "power",
        "systems",
        "samples",
    ]
    assert "usd 0.0123" in page.words
    assert "No trial" not in page.words
    assert not (tmp_path / "asked" / "ratios.csv").exists()


def test_an_evaluation_of_base_alone_claims_nothing(tmp_path: Path) -> None:
    make_evaluation(tmp_path / "asked")
    tree = json.loads((tmp_path / "asked" / "scores-test.json").read_text(encoding="utf-8"))
    tree["systems"] = [system for system in tree["systems"] if system["name"] == "base"]
    write_text(tmp_path / "asked" / "scores-test.json", json.dumps(tree))
    page = outline(report.build(tmp_path / "asked"))
    assert "no difference to base" in page.words
    assert "12.4" in page.words


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"systems": [{"name": "x"}]}'])
def test_broken_scores_of_an_evaluation_are_refused_by_their_path(tmp_path: Path, content: str) -> None:
    write_text(tmp_path / "scores-test.json", content)
    with pytest.raises(DataError, match=r"scores-test\.json"):
        report.build(tmp_path)


def test_the_job_writes_a_comparison_where_it_is_told_to(tmp_path: Path) -> None:
    runs = two_runs(tmp_path)
    done = subprocess.run(
        [sys.executable, str(JOB), *map(str, runs), "--out", str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()) == tmp_path / "out" / "index.html"
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "differences.csv",
        "error_types.csv",
        "index.html",
        "report.md",
        "scores.csv",
    ]


@pytest.mark.parametrize("content", [None, "{", '{"name": "x"}'])
def test_the_job_refuses_a_broken_run_in_one_line_and_writes_nothing(tmp_path: Path, content: str | None) -> None:
    make_run(tmp_path / "first")
    (tmp_path / "second").mkdir()
    if content is not None:
        write_text(tmp_path / "second" / "result.json", content)
    command = [sys.executable, str(JOB), str(tmp_path / "first"), str(tmp_path / "second"), "--out", str(tmp_path / "out")]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert re.fullmatch(r"error: .*second/result\.json: .*\n", refused.stderr)
    assert not (tmp_path / "out").exists()
