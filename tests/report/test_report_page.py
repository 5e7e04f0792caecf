"""The page as a whole: what it says, what it escapes, and how it stands when records are missing."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.report.made_up_run import INJECTION, make_record, make_run, make_trials

from mixwright import report
from mixwright.errors import DataError, RunError
from mixwright.records import to_json, write_jsonl, write_text

SECTIONS = ("results", "power", "edits", "systems", "search", "pareto", "learning", "samples", "trials", "data", "cost")
VOID = {"meta", "link", "br", "input"}


class Outline(HTMLParser):
    """Checks that tags nest, and keeps ids, addresses and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.addresses += [value for name, value in attrs if name in ("href", "src", "xlink:href") and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words += data


def outline(page: Path) -> Outline:
    parser = Outline()
    parser.feed(page.read_text(encoding="utf-8"))
    assert parser.open == []
    return parser


def build(folder: Path, **changes: object) -> Outline:
    make_run(folder, **changes)
    return outline(report.build(folder))


def test_every_section_stands_once_and_every_link_of_the_page_leads_to_one(tmp_path: Path) -> None:
    page = build(tmp_path)
    assert [name for name in page.ids if name in SECTIONS] == list(SECTIONS)
    assert {address for address in page.addresses if address.startswith("#")} == {f"#{name}" for name in SECTIONS}


def test_every_link_to_a_file_leads_to_one(tmp_path: Path) -> None:
    page = build(tmp_path)
    files = {address for address in page.addresses if not address.startswith(("#", "data:"))}
    assert {"../predictions/test-best.jsonl", "../predictions/test-base.jsonl", "scores.csv", "report.md"} <= files
    assert [file for file in files if not (tmp_path / "report" / file).is_file()] == []


def test_the_one_script_is_the_one_that_the_content_policy_names(tmp_path: Path) -> None:
    make_run(tmp_path)
    text = report.build(tmp_path).read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert "default-src 'none'" in text


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    make_run(tmp_path)
    text = report.build(tmp_path).read_text(encoding="utf-8")
    assert not re.search(r"(?:https?:)?//[a-z]", text.split("</style>")[0])
    assert "url(" not in text
    assert "@import" not in text


def test_what_a_model_wrote_is_shown_and_never_run(tmp_path: Path) -> None:
    page = build(tmp_path)
    raw = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert INJECTION in page.words
    assert raw.count("<script") == 1


@pytest.mark.parametrize("field", ["name", "question"])
def test_text_of_the_run_is_escaped(tmp_path: Path, field: str) -> None:
    assert INJECTION in build(tmp_path, **{field: INJECTION}).words


def test_text_of_a_failed_trial_is_escaped_in_table_and_pictures(tmp_path: Path) -> None:
    make_run(tmp_path)
    trials = [dataclasses.replace(trial, cause=INJECTION if trial.status == "failed" else "") for trial in make_trials()]
    write_jsonl(tmp_path / "trials.jsonl", trials)
    page = outline(report.build(tmp_path))
    assert page.words.count(INJECTION) >= 2
    assert (tmp_path / "report" / "index.html").read_text(encoding="utf-8").count("<script") == 1


def test_every_picture_is_well_formed_and_named_for_readers_who_cannot_see_it(tmp_path: Path) -> None:
    make_run(tmp_path)
    text = report.build(tmp_path).read_text(encoding="utf-8")
    pictures = [ElementTree.fromstring(found) for found in re.findall(r"<figure[^>]*>(<svg.*?</svg>)", text, flags=re.DOTALL)]
    assert len(pictures) == 4 + 1 + 3 + 2 + 1 + 3
    for picture in pictures:
        assert picture.get("role") == "img"
        assert len(picture.get("aria-label", "")) > 20
    assert "nan" not in " ".join(picture.get("d", "") for root in pictures for picture in root.iter())


def test_one_mark_stands_for_each_trial_whatever_became_of_it(tmp_path: Path) -> None:
    make_run(tmp_path)
    text = report.build(tmp_path).read_text(encoding="utf-8")
    found = re.search(r'<figure class="map">(<svg.*?</svg>)', text, flags=re.DOTALL)
    assert found
    classes = [item.get("class", "") for item in ElementTree.fromstring(found[1]).iter()]
    assert [sum(name.startswith(f"mark {status}") for name in classes) for status in ("complete", "stopped", "failed")] == [5, 2, 1]
    assert classes.count("ring") == 1


def test_before_the_final_evaluation_the_page_says_so_and_shows_the_search(tmp_path: Path) -> None:
    page = build(tmp_path, status="searched", systems=())
    assert "final evaluation has not run" in page.words
    assert "There is no table yet" in page.words
    assert "There are no samples" in page.words
    assert "on dev" in page.words


def test_a_run_in_which_every_trial_failed_has_a_report_with_the_causes(tmp_path: Path) -> None:
    make_run(tmp_path, status="searched", systems=(), best={}, pareto=())
    write_jsonl(tmp_path / "trials.jsonl", [make_trials()[7]])
    page = outline(report.build(tmp_path))
    assert "No trial finished" in page.words
    assert "lower train.learning_rate" in page.words


def test_a_single_fine_tune_is_reported_without_pictures_of_a_search(tmp_path: Path) -> None:
    make_run(tmp_path)
    only = dataclasses.replace(make_trials()[3], params={})
    write_jsonl(tmp_path / "trials.jsonl", [only])
    record = make_record(make_trials())
    write_text(tmp_path / "result.json", json.dumps(to_json(dataclasses.replace(record, best={**record.best, "params": {}}))))
    page = outline(report.build(tmp_path))
    assert "Nothing was searched" in page.words
    assert "One fine-tune: 50 % generic data, LoRA rank 16." in page.words


@pytest.mark.parametrize(
    ("params", "axis"),
    [
        ([{"train.learning_rate": rate} for rate in (1e-4, 3e-4)], "learning rate"),
        ([{"train.schedule": name} for name in ("cosine", "linear")], "schedule"),
        ([{"lora.rank": 4, "train.schedule": "cosine"}, {"lora.rank": 64, "train.schedule": "linear"}], "LoRA rank"),
        ([{"lora.rank": 4}, {"lora.rank": 64, "mixture.generic_fraction": 0.5}], "LoRA rank"),
    ],
)
def test_the_picture_of_the_search_takes_whatever_keys_were_searched(
    tmp_path: Path, params: list[dict[str, object]], axis: str
) -> None:
    make_run(tmp_path)
    trials = [dataclasses.replace(trial, params=item) for trial, item in zip(make_trials(), params, strict=False)]
    write_jsonl(tmp_path / "trials.jsonl", trials)
    text = report.build(tmp_path).read_text(encoding="utf-8")
    section = text.split('<section id="search">')[1].split("</section>")[0]
    assert re.search(f'class="axis-name"[^>]*>[^<]*{axis}', section)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("trials.jsonl", "No trial is shown"),
        ("config.yaml", "Limits and ranges of the search are not shown"),
        ("predictions/test-base.jsonl", "No samples of base are shown"),
        ("trials/t03/metrics.jsonl", "No training loss is drawn for trial 3"),
    ],
)
def test_a_missing_record_is_named_and_the_rest_is_shown(tmp_path: Path, missing: str, said: str) -> None:
    make_run(tmp_path)
    (tmp_path / missing).unlink()
    page = outline(report.build(tmp_path))
    assert said in page.words
    assert "11.2 points better" in page.words


def test_half_a_last_line_left_by_a_kill_does_not_hide_the_trials_before_it(tmp_path: Path) -> None:
    make_run(tmp_path)
    for name in ("trials.jsonl", "trials/t03/metrics.jsonl"):
        with (tmp_path / name).open("a", encoding="utf-8") as file:
            file.write('{"trial_id": "t0')
    page = outline(report.build(tmp_path))
    assert "8 trials" in page.words
    assert "is shown:" not in page.words


def test_a_scenario_without_held_out_tasks_is_reported_without_them(tmp_path: Path) -> None:
    trials = make_trials()
    make_run(tmp_path)
    bare = [
        dataclasses.replace(
            trial,
            rungs=tuple(
                dataclasses.replace(rung, objectives=dataclasses.replace(rung.objectives, unseen=None)) for rung in trial.rungs
            ),
        )
        for trial in trials
    ]
    write_jsonl(tmp_path / "trials.jsonl", bare)
    record = make_record(tuple(bare))
    systems = tuple(
        dataclasses.replace(system, scores=tuple(score for score in system.scores if score.seen)) for system in record.systems
    )
    base_dev = {"objectives": {"seen": 27.7, "unseen": None, "retention": 0.0}, "task_scores": {}}
    write_text(tmp_path / "result.json", json.dumps(to_json(dataclasses.replace(record, systems=systems, base_dev=base_dev))))
    page = outline(report.build(tmp_path))
    assert "No task was held out." in page.words
    assert "never trained" not in page.words


def test_building_again_gives_the_same_bytes(tmp_path: Path) -> None:
    make_run(tmp_path)
    first = report.build(tmp_path).read_bytes()
    assert report.build(tmp_path).read_bytes() == first


def test_a_folder_without_a_result_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"result\.json: no such file.*--resume"):
        report.build(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["{", "[]", '{"name": "x"}'])
def test_a_broken_result_is_refused(tmp_path: Path, content: str) -> None:
    write_text(tmp_path / "result.json", content)
    with pytest.raises(DataError):
        report.build(tmp_path)


def test_the_job_prints_the_path_of_the_page_and_refuses_an_empty_folder_in_one_line(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    command = [sys.executable, str(Path(__file__).parents[2] / "jobs" / "write_report.py")]
    done = subprocess.run([*command, str(tmp_path / "run")], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == tmp_path / "run" / "report" / "index.html"
    refused = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert len(refused.stderr.splitlines()) == 1
