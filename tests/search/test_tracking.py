"""Trials in TensorBoard, MLflow and W&B, by their own packages; and a tracker that fails."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mixwright.config import TrackingConfig
from mixwright.records import Objectives, RungRecord, TrialRecord
from mixwright.search.tracking import Trackers, trackers


def rung(step: int, seen: float) -> RungRecord:
    objectives = Objectives(seen=seen, unseen=None, retention=-0.1)
    return RungRecord(
        step=step, examples=1, tokens=1, train_loss=2.0, objectives=objectives, task_scores={"clarity": seen}, seconds=1.0
    )


def trial(number: int, status: str = "complete") -> TrialRecord:
    rungs = (rung(5, 40.0), rung(10, 50.0)) if status == "complete" else (rung(5, 40.0),)
    params = {"lora.rank": 8, "mixture.generic_fraction": 0.25}
    return TrialRecord(trial_id=f"trial_{number:04d}", number=number, status=status, params=params, rungs=rungs, cause="")


def tell(told: Trackers) -> None:
    """Two trials side by side, as lanes tell them."""
    records = [trial(0), trial(1, "stopped")]
    for step in range(2):
        for record in records:
            if step < len(record.rungs):
                told.rung(record.trial_id, record.rungs[step])
    for record in records:
        told.ended(record)
    told.close()


def events(path: Path) -> list[tuple[str, float, int]]:
    from tensorboardX.proto.event_pb2 import Event

    data, found = path.read_bytes(), []
    while data:  # length, its checksum, the event, its checksum
        length = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + length])
        found += [(value.tag, value.simple_value, event.step) for value in event.summary.value]
        data = data[16 + length :]
    return found


def test_tensorboard_has_scalars_by_step_and_what_was_searched(tmp_path: Path) -> None:
    tell(trackers(TrackingConfig(), "demo", tmp_path))
    found = [event for path in (tmp_path / "tensorboard" / "trial_0000").rglob("events*") for event in events(path)]
    assert {("seen", 40.0, 5), ("seen", 50.0, 10), ("task/clarity", 50.0, 10), ("final/seen", 50.0, 10)} <= set(found)
    assert any(tag.startswith("_hparams_") for tag, _, _ in found)
    stopped = [event for path in (tmp_path / "tensorboard" / "trial_0001").rglob("events*") for event in events(path)]
    assert not any(tag.startswith("final/") for tag, _, _ in stopped)


def test_mlflow_has_a_run_a_trial(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="pip install 'mixwright[mlflow]'")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tell(trackers(TrackingConfig(tensorboard=False, mlflow=uri), "demo", tmp_path))
    client = mlflow.MlflowClient(tracking_uri=uri)
    runs = {run.info.run_name: run for run in client.search_runs([client.get_experiment_by_name("demo").experiment_id])}
    assert runs["trial_0000"].data.params == {"lora.rank": "8", "mixture.generic_fraction": "0.25", "status": "complete"}
    history = client.get_metric_history(runs["trial_0000"].info.run_id, "seen")
    assert [(metric.step, metric.value) for metric in history] == [(5, 40.0), (10, 50.0)]
    assert runs["trial_0001"].data.tags["status"] == "stopped"


def test_wandb_has_a_run_a_trial_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="pip install 'mixwright[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    tell(trackers(TrackingConfig(tensorboard=False, wandb="team"), "demo", tmp_path))
    files = list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 2
    assert all(path.stat().st_size > 0 for path in files)


def test_a_tracker_that_fails_costs_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        name = "Broken"

        def rung(self, trial_id: str, rung: RungRecord) -> None:
            raise OSError("no space left")

        ended = close = rung

    told = Trackers([Broken()])
    with caplog.at_level(logging.WARNING):
        tell(told)
    assert [record.message for record in caplog.records] == [
        "Broken failed and is told nothing more, the sweep goes on: no space left"
    ]


def test_a_tracking_server_that_is_not_there_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("mlflow", reason="pip install 'mixwright[mlflow]'")
    with caplog.at_level(logging.WARNING):
        tell(trackers(TrackingConfig(tensorboard=False, mlflow="nowhere://mlflow"), "demo", tmp_path))
    assert "MLflow failed" in caplog.text
