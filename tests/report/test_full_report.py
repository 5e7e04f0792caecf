"""A run with everything recorded: every part of it is on the page, in report.md and in the CSV files, with the same numbers."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.report.made_up_run import make_predictions, make_record, make_run, make_trials
from tests.report.made_up_systems import MATTERS, OUTSIDER, make_full_run, make_full_systems
from tests.report.test_report_page import outline

from mixwright import report
from mixwright.records import Difference, PowerRecord, RunRecord, SystemRecord, from_json, to_json, write_jsonl, write_text
from mixwright.report import readings
from mixwright.report.details import TypeCounts
from mixwright.report.table import ordered_systems, table_rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("full")
    make_full_run(path)
    report.build(path)
    return path


def page_of(folder: Path) -> str:
    return (folder / "report" / "index.html").read_text(encoding="utf-8")


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def section(folder: Path, name: str) -> str:
    """The words of one section, tags taken out and spaces squeezed."""
    html = page_of(folder).split(f'<section id="{name}">')[1].split("</section>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def markdown_tables(folder: Path) -> Iterator[list[str]]:
    """Cells of every line of every table in report.md."""
    for line in (folder / "report" / "report.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            yield [cell.strip().replace("\\", "") for cell in line.strip("|").split(" | ")]


def test_systems_stand_in_one_order_and_one_may_lack_tasks(folder: Path) -> None:
    names = [system.name for system in ordered_systems(make_record_full())]
    assert names == ["base", "copy", "human", "best", OUTSIDER]
    header = page_of(folder).split('class="results matrix')[1].split("</thead>")[0]
    assert re.findall(r">([^<>]+)</th>", header) == [
        "Task",
        "Metric",
        "n",
        "Base",
        "Copy of input",
        "Human",
        "Best adapter",
        OUTSIDER,
    ]
    fluency = page_of(folder).split('class="results matrix')[1].split("fluency")[1].split("</tr>")[0]
    assert re.search(r'data-label="Human">–</td>', fluency)


def make_record_full() -> RunRecord:
    return dataclasses.replace(make_record(make_trials()), systems=make_full_systems())


def test_signs_tell_what_holds_after_the_correction_from_what_does_not_and_from_too_few_rows() -> None:
    rows = {row.task: row for row in table_rows(make_record_full())}
    assert rows["grammaticality"].reading("best") == readings.BETTER
    assert rows["fluency"].reading("best") == readings.BETTER_ALONE
    assert rows["clarity"].reading("best") == readings.UNDERPOWERED
    assert rows["mean of seen"].reading("best") == readings.BETTER
    assert rows["grammaticality"].reading("base") is None


def test_an_interval_that_holds_zero_claims_nothing_even_where_the_test_rejects() -> None:
    difference = Difference(task="clarity", system="best", value=9.0, low=-1.0, high=17.0, n=32, p_value=0.002, p_corrected=0.01)
    power = PowerRecord(task="clarity", n=32, detectable=14.0, interesting=3.0, rows_needed=600, underpowered=True)
    assert readings.read(difference, power) == readings.TEST_ALONE
    assert readings.TEST_ALONE.tone == "even"
    rejected_by_none = dataclasses.replace(difference, p_corrected=0.2)
    assert readings.read(rejected_by_none, power) == readings.UNDERPOWERED
    assert readings.read(rejected_by_none) == readings.EVEN


def test_every_sign_that_stands_is_explained_and_no_other(folder: Path) -> None:
    legend = page_of(folder).split('<ul class="signs"')[1].split("</ul>")[0]
    assert re.findall(r'class="sign \w+">([^<]+)<', legend) == ["▲", "△", "≈?"]
    matrix = page_of(folder).split('class="results matrix')[1].split("</table>")[0]
    assert set(re.findall(r'aria-hidden="true">([^<]+)<', matrix)) == {"▲", "△", "≈?"}


def test_the_verdict_names_what_the_correction_and_the_rows_leave_open(folder: Path) -> None:
    words = outline(folder / "report" / "index.html").words
    assert "better on 1; better, uncorrected on 1; too few rows on 1" in words
    assert "Shown by its own interval and not by the test after Holm's correction: fluency." in words
    assert "Too few rows to show a difference of 3 points, so that none seen says little: clarity and paraphrasing." in words


def test_the_power_table_holds_what_would_show_what_matters_and_what_that_takes(folder: Path) -> None:
    words = section(folder, "power")
    assert "clarity seen 12 +0.9 6.5 3.0 48 no" in words
    assert "mean of seen 36 +11.2 6.5 3.0 144 yes" in words


def test_precision_recall_and_over_correction_stand_beside_the_score(folder: Path) -> None:
    words = section(folder, "edits")
    assert "ERRANT F0.5 Precision Recall Over-correction Base 12.4 61.5 22.2 25.0" in words
    assert "Best adapter 31.0 61.5 22.2 0.0" in words
    assert "Human" not in words.split("Parts of SARI")[0]
    assert "SARI Add Keep Delete" in words
    assert "Human 47.0 8.5 61.0 23.7" in words


def test_error_types_come_by_frequency_in_the_references_with_counts_and_score(folder: Path) -> None:
    words = section(folder, "edits")
    assert re.findall(r"[RMU]:[A-Z:]+", words) == ["R:VERB:SVA", "M:DET", "R:OTHER"]
    assert "R:VERB:SVA 22.7 1 / 3 / 5" in words
    assert TypeCounts(tp=1, fp=3, fn=5).f_half == pytest.approx(100 * 1.25 * 0.25 * (1 / 6) / (0.25 * 0.25 + 1 / 6))


@pytest.mark.parametrize(("counts", "score"), [((0, 0, 0), 100.0), ((0, 3, 0), 0.0), ((0, 0, 3), 0.0), ((2, 0, 0), 100.0)])
def test_the_score_of_an_error_type_at_its_borders(counts: tuple[int, int, int], score: float) -> None:
    assert TypeCounts(tp=counts[0], fp=counts[1], fn=counts[2]).f_half == score


def test_decoding_usage_and_predictions_of_each_system_are_named(folder: Path) -> None:
    words = section(folder, "systems")
    assert "method greedy, max new tokens 96" in words
    assert "requests 48, prompt tokens 9,120, completion tokens 700, usd 0.0123" in words
    assert "test-best.jsonl 48 rows" in words
    assert "trial 3: 26 % generic data, LoRA rank 32" in words


def test_standard_errors_stand_beside_the_objectives_of_a_trial(folder: Path) -> None:
    assert "± 2.2" in section(folder, "trials")


def test_scores_are_the_same_on_the_page_in_markdown_and_in_csv(folder: Path) -> None:
    scores = [row for row in csv_rows(folder / "report" / "scores.csv") if row["low"]]
    matrix = page_of(folder).split('class="results matrix')[1].split("</table>")[0]
    cells = re.findall(r'<td class="score.*?</td>', matrix, flags=re.DOTALL)
    figures = [re.findall(r">([\d.]+)(?:–([\d.]+)</small>)?", cell) for cell in cells]
    shown = [(value, low, high) for found in figures if len(found) > 1 for (value, _), (low, high) in [found[:2]]]
    wanted = [(row["value"], row["low"], row["high"]) for row in scores]
    assert sorted(shown) == sorted(tuple(f"{float(value):.1f}" for value in values) for values in wanted)
    in_markdown = [cell for line in markdown_tables(folder) for cell in line]
    for value, low, high in shown:
        assert any(cell.startswith(f"{value} ({low}–{high})") for cell in in_markdown)


def test_differences_are_the_same_on_the_page_in_markdown_and_in_csv(folder: Path) -> None:
    rows = csv_rows(folder / "report" / "differences.csv")
    assert len(rows) == 5 + 4
    words = section(folder, "results").replace("−", "-")
    lines = [" ".join(line).replace("−", "-") for line in markdown_tables(folder)]
    for row in rows:
        change = f"{float(row['value']):+.1f} {float(row['low']):+.1f} to {float(row['high']):+.1f}"
        assert change in words
        assert any(change in line and row["reading"] in line for line in lines)
        assert float(row["matters"]) == MATTERS


def test_csv_numbers_are_those_of_the_record_in_full(folder: Path) -> None:
    rows = csv_rows(folder / "report" / "scores.csv")
    recorded = {(score.task, score.system): score for system in make_full_systems() for score in system.scores}
    tasks = [row for row in rows if row["metric"] != "mean"]
    assert {(row["task"], row["system"]) for row in tasks} == set(recorded)
    for row in tasks:
        score = recorded[row["task"], row["system"]]
        assert (float(row["value"]), float(row["low"]), int(row["n"])) == (score.value, score.low, score.n)
        assert row["precision"] == ("61.5" if score.details.get("precision") == 61.5 else row["precision"])
        assert row["seen"] == str(score.seen).lower()


def test_error_types_are_a_file_of_their_own(folder: Path) -> None:
    rows = csv_rows(folder / "report" / "error_types.csv")
    assert {(row["system"], row["error_type"]) for row in rows} >= {("best", "M:DET"), ("base", "R:OTHER")}
    one = next(row for row in rows if row["system"] == "best" and row["error_type"] == "R:VERB:SVA")
    assert (one["tp"], one["fp"], one["fn"]) == ("4", "1", "2")


def test_a_run_that_recorded_none_of_this_says_so_and_is_reported(tmp_path: Path) -> None:
    make_run(tmp_path)
    words = outline(report.build(tmp_path)).words
    assert "This run did not record p-values (signs rest on intervals alone), how large" in words
    assert "How large a difference these rows can show was not recorded" in words
    assert "Precision, recall, error types and the parts of SARI were not recorded" in words


def test_a_run_that_recorded_all_of_it_has_nothing_missing(folder: Path) -> None:
    assert "did not record" not in outline(folder / "report" / "index.html").words


def test_records_of_older_runs_are_read_without_the_newer_fields() -> None:
    tree = to_json(make_full_systems()[-1])
    for name in ("power", "decoding", "usage"):
        del tree[name]
    for score in tree["scores"]:
        del score["details"], score["error_types"]
    for difference in tree["differences"]:
        del difference["p_value"], difference["p_corrected"], difference["detectable"]
    assert from_json(SystemRecord, tree).differences[0].p_value is None


def test_many_systems_are_all_shown(tmp_path: Path) -> None:
    make_run(tmp_path)
    systems = make_full_systems()
    more = tuple(_renamed(systems[-1], f"model-{number}") for number in range(9))
    record = dataclasses.replace(make_record(make_trials()), systems=(*systems, *more))
    write_text(tmp_path / "result.json", json.dumps(to_json(record)))
    report.build(tmp_path)
    header = page_of(tmp_path).split('class="results matrix')[1].split("</thead>")[0]
    assert header.count(">model-") == 9
    assert "test-model-3.jsonl: no such file" in outline(tmp_path / "report" / "index.html").words


def test_answers_of_more_systems_than_a_row_can_show_are_left_to_their_files(tmp_path: Path) -> None:
    make_run(tmp_path)
    systems = make_full_systems()
    more = tuple(_renamed(systems[-1], f"model-{number}") for number in range(7))
    record = dataclasses.replace(make_record(make_trials()), systems=(*systems, *more))
    write_text(tmp_path / "result.json", json.dumps(to_json(record)))
    for name in (OUTSIDER, *(system.name for system in more)):
        answers = [dataclasses.replace(item, system=name) for item in make_predictions("best")]
        write_jsonl(tmp_path / "predictions" / f"test-{name}.jsonl", answers)
    report.build(tmp_path)
    words = section(tmp_path, "samples")
    assert "There alone are the answers of model-3, model-4, model-5, model-6." in words


def _renamed(system: SystemRecord, name: str) -> SystemRecord:
    return dataclasses.replace(system, name=name, scores=tuple(dataclasses.replace(score, system=name) for score in system.scores))


def test_predictions_that_are_not_those_of_the_score_are_pointed_out(tmp_path: Path) -> None:
    make_run(tmp_path)
    report.build(tmp_path)
    assert "different evaluations" not in page_of(tmp_path)
    lines = (tmp_path / "predictions" / "test-best.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    write_text(tmp_path / "predictions" / "test-best.jsonl", "".join(lines[1:]))
    report.build(tmp_path)
    assert "The score of best on grammaticality is of 12 rows and its predictions are 11" in page_of(tmp_path)


def test_points_that_were_repeated_over_seeds_show_both_sources_of_variance(tmp_path: Path) -> None:
    make_full_run(tmp_path)
    report.build(tmp_path)
    assert 'id="seeds"' not in page_of(tmp_path)
    full = [trial for trial in make_trials() if trial.status == "complete"][:3]
    repeated = [dataclasses.replace(trial, params={"lora.rank": 8, "train.seed": seed}) for seed, trial in enumerate(full)]
    write_jsonl(tmp_path / "trials.jsonl", repeated)
    report.build(tmp_path)
    words = section(tmp_path, "seeds")
    assert "LoRA rank 8 3 " in words
    assert words.count("seeds, ±") == 3
    assert "Repeated over seeds" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


def test_text_of_others_cannot_break_a_markdown_table(tmp_path: Path) -> None:
    systems = tuple(
        dataclasses.replace(system, decoding={"stop": "a|b\n| c <img src=x>"}) if system.name == "best" else system
        for system in make_full_systems()
    )
    make_run(tmp_path, systems=systems)
    report.build(tmp_path)
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "a\\|b \\| c \\<img src=x\\>" in text
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in text.split("## Systems")[1].splitlines() if line.startswith("|")}
    assert len(widths) <= 2


def test_a_report_can_be_written_elsewhere_and_its_links_still_lead_home(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    path = report.build(tmp_path / "run", tmp_path / "elsewhere" / "here")
    assert path == tmp_path / "elsewhere" / "here" / "index.html"
    assert not (tmp_path / "run" / "report").exists()
    page = outline(path)
    files = [address for address in page.addresses if not address.startswith(("#", "data:"))]
    assert "../../run/predictions/test-best.jsonl" in files
    assert [file for file in files if not (path.parent / file).is_file()] == []
