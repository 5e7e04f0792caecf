"""A sweep's figures at a real node's metrics port, and in a real Prometheus with our configuration where one is installed."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import ray
from tests.cluster.small_space import write_space
from tests.deploy.test_dashboards import FOLDER, SOURCES, dashboard, exported, queries

from mixwright.config import ClusterConfig, load_config
from mixwright.data.prepare import prepare
from mixwright.records import TrialRecord
from mixwright.scenarios import load_scenario
from mixwright.search import sweep
from mixwright.search.cluster import connected
from mixwright.store.runs import open_run

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """With its dashboard, whose process writes the file in which Prometheus finds the nodes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_metrics_report_interval_ms", "1000")
        with connected(ClusterConfig(dashboard=True)):
            yield


@pytest.fixture(scope="module")
def trials(cluster: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrialRecord, ...]:
    """Of a sweep on this cluster; this process is its driver, and what it told stays told."""
    folder = tmp_path_factory.mktemp("space")
    config = load_config(write_space(folder, tiny_model, cluster={"dashboard": False, "lanes": 1}))
    scenario = load_scenario(config.scenario)
    data = prepare(config.data, scenario, seed=config.search.seed)
    return sweep.search(config, scenario, data, open_run(folder / "run", config, resume=False)).trials


def until(found: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if value := found():
                return value
        except (httpx.HTTPError, FileNotFoundError):
            pass
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds:.0f} s")


def test_a_nodes_metrics_port_tells_how_the_search_stands(trials: tuple[TrialRecord, ...]) -> None:
    node = ray.nodes()[0]  # type: ignore[no-untyped-call]
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"

    def sample(name: str, label: str = "") -> float | None:
        lines = [line for line in httpx.get(url).text.splitlines() if line.startswith(f"{name}{{") and label in line]
        return float(lines[-1].rsplit(" ", 1)[1]) if lines else None

    assert until(lambda: sample("ray_mixwright_sweep_trials", 'state="left"') == 0.0)
    for state in ("complete", "stopped", "failed"):
        expected = sum(trial.status == state for trial in trials)
        assert until(lambda: sample("ray_mixwright_sweep_trials", f'state="{state}"') is not None)  # noqa: B023 - asked at once
        assert sample("ray_mixwright_sweep_trials", f'state="{state}"') == expected
    best = max(trial.rungs[-1].objectives.seen for trial in trials if trial.status == "complete")
    assert sample("ray_mixwright_sweep_best_seen", 'sweep="small"') == pytest.approx(best)
    switches = sum(trial.switch_seconds is not None for trial in trials)
    assert switches > 0
    assert sample("ray_mixwright_sweep_switch_seconds_count") == switches


@pytest.fixture
def prometheus(trials: tuple[TrialRecord, ...], tmp_path: Path) -> Iterator[str]:
    """The address of one that runs with our configuration, on this cluster's file instead of the machine's newest."""
    if not shutil.which("prometheus"):
        pytest.skip("prometheus is not installed (Debian: prometheus)")
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    config = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
    ours = config.replace("/tmp/ray/", f"{session}/").replace("scrape_interval: 10s", "scrape_interval: 1s")
    (tmp_path / "prometheus.yml").write_text(ours)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    options = {"config.file": tmp_path / "prometheus.yml", "storage.tsdb.path": tmp_path / "data", "web.listen-address": address}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(["prometheus", *(f"--{key}={value}" for key, value in options.items())], stdout=log, stderr=log)
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def test_prometheus_scrapes_them_with_our_configuration_and_answers_every_panel(prometheus: str) -> None:
    def ask(query: str) -> Any:
        answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}).json()
        return answer["data"]["result"] if answer["status"] == "success" else pytest.fail(f"{query}: {json.dumps(answer)}")

    assert until(lambda: ask('ray_mixwright_sweep_trials{sweep="small", state="complete"}'))
    names = {name for scraped in exported(SOURCES["sweep"]).values() for name in scraped}
    # Nothing was lost, so that the counter has not begun.
    missing = {name for name in names if not ask(name)} - {"ray_mixwright_sweep_retries_total"}
    assert missing == set()
    for board in SOURCES:
        for query in queries(dashboard(board)):
            ask(query.replace("$sweep", ".*").replace("$__rate_interval", "1m"))
