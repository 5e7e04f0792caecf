"""optuna-dashboard, as a user starts it, shows our studies."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from tests.search.test_searcher import NAMES
from tests.search.test_study import SPACE, database, place, run_one, storage  # noqa: F401 - fixtures

from mixwright.search.study import StudyFile
from mixwright.store.studies import StudyPlace

pytest.importorskip("optuna_dashboard", reason="pip install 'mixwright[dashboard]'")


def test_the_dashboard_opens_the_study(place: StudyPlace, tmp_path: Path) -> None:  # noqa: F811
    run_one(StudyFile(place, NAMES, SPACE), "r0")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("optuna-dashboard")
    with (tmp_path / "log").open("w") as log:
        dashboard = subprocess.Popen([program, place.url, "--host", "127.0.0.1", "--port", str(port)], stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            study = next(item for item in answered(client, "/api/studies")["study_summaries"] if item["study_name"] == place.name)
            detail = answered(client, f"/api/studies/{study['study_id']}")
    finally:
        dashboard.terminate()
        dashboard.wait()
    assert detail["objective_names"] == list(NAMES)
    (trial,) = detail["trials"]
    assert (trial["state"], trial["values"]) == ("Complete", [50.0, 30.0, 0.0])
    assert {param["name"] for param in trial["params"]} == set(SPACE)


def answered(client: httpx.Client, path: str) -> dict:
    deadline = time.monotonic() + 30
    while True:
        try:
            return client.get(path).raise_for_status().json()
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
