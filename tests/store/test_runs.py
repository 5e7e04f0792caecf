"""A run folder: refused where it holds something else, whole after a kill, finished only when it says so."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mixwright import records
from mixwright.config import SweepConfig
from mixwright.errors import RunError
from mixwright.records import TrialRecord
from mixwright.store import runs

CONFIG = SweepConfig(name="a")


@pytest.fixture(autouse=True)
def _release_locks():
    yield
    for lock in runs._LOCKS.values():
        lock.close()
    runs._LOCKS.clear()


def record(number: int) -> TrialRecord:
    return TrialRecord(trial_id=f"trial_{number:04d}", number=number, status="failed", params={"lora.rank": 4}, rungs=(), cause="x")


def test_a_new_folder_holds_the_resolved_configuration(tmp_path: Path) -> None:
    runs.open_run(tmp_path / "run", CONFIG, resume=False)
    assert "generic_fraction: 0.5" in (tmp_path / "run" / "config.yaml").read_text()


def test_a_folder_of_another_configuration_is_refused_and_the_differing_keys_are_named(tmp_path: Path) -> None:
    runs.open_run(tmp_path, CONFIG, resume=False)
    other = CONFIG.with_values({"lora.rank": 4, "mixture.generic_fraction": 0.25})
    for resume in (False, True):
        with pytest.raises(
            RunError, match=r"another configuration \(lora.rank: 16 there, 4 here; mixture.generic_fraction: 0.5 there, 0.25 here\)"
        ):
            runs.open_run(tmp_path, other, resume=resume)


def test_the_number_of_trials_and_the_port_may_change_on_resume(tmp_path: Path) -> None:
    config = CONFIG.with_values({"search.parameters": {"lora.rank": {"choices": [2, 4]}}})
    runs.open_run(tmp_path, config, resume=False)
    runs.open_run(tmp_path, config.with_values({"search.trials": 9, "serve.port": 9000}), resume=True)


def test_an_unfinished_run_asks_for_resume(tmp_path: Path) -> None:
    runs.open_run(tmp_path, CONFIG, resume=False)
    (tmp_path / "study.db").touch()
    with pytest.raises(RunError, match="add --resume"):
        runs.open_run(tmp_path, CONFIG, resume=False)
    assert runs.open_run(tmp_path, CONFIG, resume=True).path == tmp_path


def test_a_run_from_before_a_key_existed_goes_on_with_its_default(tmp_path: Path) -> None:
    run = runs.open_run(tmp_path, CONFIG, resume=False)
    kept = [
        line for line in (tmp_path / "config.yaml").read_text().splitlines(keepends=True) if "activation_checkpointing" not in line
    ]
    (tmp_path / "config.yaml").write_text("".join(kept))
    assert runs.open_run(tmp_path, CONFIG, resume=True) == run


def test_resume_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nothing to go on with"):
        runs.open_run(tmp_path / "none", CONFIG, resume=True)


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="holds no run of ours"):
        runs.open_run(tmp_path, CONFIG, resume=False)
    assert [item.name for item in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_processes_cannot_write_to_one_run(tmp_path: Path) -> None:
    runs.open_run(tmp_path, CONFIG, resume=False)
    script = (
        "from pathlib import Path; from mixwright.store import runs; from mixwright.config import SweepConfig;"
        f"runs.open_run(Path({str(tmp_path)!r}), SweepConfig(name='a'), resume=False)"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "another sweep is writing to this folder" in other.stderr


def test_trials_come_back_by_number_and_a_torn_last_line_is_dropped(tmp_path: Path) -> None:
    run = runs.open_run(tmp_path, CONFIG, resume=False)
    run.append_trial(record(1))
    run.append_trial(record(0))
    with (tmp_path / "trials.jsonl").open("a") as file:
        file.write('{"trial_id": "trial_00')
    again = runs.open_run(tmp_path, CONFIG, resume=True)
    assert again.trials() == [record(0), record(1)]
    again.append_trial(record(2))
    assert len(again.trials()) == 3


def test_a_broken_line_is_named_with_its_number(tmp_path: Path) -> None:
    run = runs.open_run(tmp_path, CONFIG, resume=False)
    (tmp_path / "trials.jsonl").write_text('{"nonsense": 1}\n')
    with pytest.raises(RunError, match=r"trials.jsonl:1: not a trial"):
        run.trials()


def test_a_kept_adapter_is_marked_complete_last_and_replaces_an_older_one(tmp_path: Path) -> None:
    run = runs.open_run(tmp_path / "run", CONFIG, resume=False)
    for content in ("old", "new"):
        source = tmp_path / content
        source.mkdir()
        (source / "adapter_model.safetensors").write_text(content)
        run.keep_adapter(source, "best")
    kept = tmp_path / "run" / "adapters" / "best"
    assert (kept / "adapter_model.safetensors").read_text() == "new"
    assert (kept / "COMPLETE").exists()


def test_a_run_without_a_result_is_not_finished(tmp_path: Path) -> None:
    runs.open_run(tmp_path, CONFIG, resume=False)
    assert not runs.is_finished(tmp_path, CONFIG)


def test_a_resumed_run_keeps_the_workers_that_it_was_started_with(tmp_path: Path) -> None:
    settled = CONFIG.with_values({"cluster.workers": 4, "cluster.gpus_per_worker": 1, "cluster.lanes": 2})
    runs.open_run(tmp_path, settled, resume=False)
    runs.check_run(tmp_path, CONFIG, resume=True)  # auto differs from nothing
    kept = runs.with_saved_workers(tmp_path, CONFIG).cluster
    assert (kept.workers, kept.gpus_per_worker, kept.lanes) == (4, 1, "auto")
    asked = runs.with_saved_workers(tmp_path, CONFIG.with_values({"cluster.workers": 2}))
    with pytest.raises(RunError, match=r"cluster\.workers: 4 there, 2 here"):
        runs.check_run(tmp_path, asked, resume=True)


def test_a_new_run_leaves_its_workers_to_the_cluster(tmp_path: Path) -> None:
    assert runs.with_saved_workers(tmp_path / "new", CONFIG) == CONFIG


def test_a_trial_waits_for_a_store_that_is_away_and_stands_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = runs.open_run(tmp_path / "run", CONFIG, resume=False)
    run.append_trial(record(0))
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    (tmp_path / "run").touch()

    def give_back() -> None:
        (tmp_path / "run").unlink()
        (tmp_path / "elsewhere").rename(tmp_path / "run")

    timer = threading.Timer(0.8, give_back)
    timer.start()
    run.append_trial(record(1))
    timer.join()
    assert [trial.trial_id for trial in run.trials()] == [record(0).trial_id, record(1).trial_id]
    assert "trials.jsonl: the store refuses (Not a directory); trying again in 0.5 s" in caplog.text


def test_a_store_that_stays_away_ends_with_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "STORE_PATIENCE_S", 0.2)
    run = runs.open_run(tmp_path / "run", CONFIG, resume=False)
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    (tmp_path / "run").touch()
    with pytest.raises(RunError, match=r"trials\.jsonl: the store has refused for .* go on with --resume"):
        run.append_trial(record(0))
