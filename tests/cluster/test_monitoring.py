"""A sweep's figures at a real node's metrics port, and in a real Prometheus with our configuration where one is installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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
from mixwright.search import metrics, sweep
from mixwright.search.cluster import connected
from mixwright.store.runs import open_run

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A sweep on a real cluster, and what was heard of it meanwhile: a gauge is gone soon after the search has ended."""

    trials: tuple[TrialRecord, ...]
    scraped: dict[str, float]
    """Name and labels as the node's port had them -> the last value."""
    prometheus: str
    """Its address; empty where it is not installed."""


@pytest.fixture(scope="module")
def watched(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The cluster has its dashboard, whose process writes the file in which Prometheus finds the nodes."""
    folder = tmp_path_factory.mktemp("space")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_metrics_report_interval_ms", "1000")
        patch.setattr(metrics, "EVERY_S", 0.5)
        with connected(ClusterConfig(dashboard=True)), prometheus(tmp_path_factory.mktemp("prometheus")) as address:
            with scraper() as scraped:
                trials = sweep_of(folder, tiny_model)
                time.sleep(4.0)
            yield Watched(trials=trials, scraped=scraped, prometheus=address)


def sweep_of(folder: Path, model: Path) -> tuple[TrialRecord, ...]:
    config = load_config(write_space(folder, model, cluster={"dashboard": False, "lanes": 1}))
    scenario = load_scenario(config.scenario)
    data = prepare(config.data, scenario, seed=config.search.seed)
    return sweep.search(config, scenario, data, open_run(folder / "run", config, resume=False)).trials


@contextmanager
def scraper() -> Iterator[dict[str, float]]:
    """Reads this node's metrics port all the time, as Prometheus would."""
    node = ray.nodes()[0]  # type: ignore[no-untyped-call]
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    seen: dict[str, float] = {}
    over = threading.Event()

    def read() -> None:
        while not over.wait(0.5):
            with suppress(httpx.HTTPError):
                lines = [line for line in httpx.get(url).text.splitlines() if line.startswith("ray_mixwright_")]
                seen.update((name, float(value)) for name, _, value in (line.rpartition(" ") for line in lines))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """The address of one that runs with our configuration, on this cluster's file instead of the machine's newest."""
    if not shutil.which("prometheus"):
        yield ""
        return
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    config = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
    (folder / "prometheus.yml").write_text(config.replace("/tmp/ray/", f"{session}/").replace(": 10s", ": 1s"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    options = {"config.file": folder / "prometheus.yml", "storage.tsdb.path": folder / "data", "web.listen-address": address}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(["prometheus", *(f"--{key}={value}" for key, value in options.items())], stdout=log, stderr=log)
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def test_a_nodes_metrics_port_tells_how_the_search_stands(watched: Watched) -> None:
    def value(name: str, label: str = "") -> float:
        (found,) = [value for key, value in watched.scraped.items() if key.startswith(f"{name}{{") and label in key]
        return found

    complete = [trial for trial in watched.trials if trial.status == "complete"]
    assert all('sweep="small"' in key for key in watched.scraped)
    assert value("ray_mixwright_sweep_trials", 'state="left"') == 0
    assert value("ray_mixwright_sweep_trials", 'state="running"') == 0
    assert value("ray_mixwright_sweep_trials", 'state="complete"') == len(complete)
    best = max(trial.rungs[-1].objectives.seen for trial in complete)
    assert value("ray_mixwright_sweep_best_seen") == pytest.approx(best)
    switches = sum(trial.switch_seconds is not None for trial in watched.trials)
    assert switches > 0
    assert value("ray_mixwright_sweep_switch_seconds_count") == switches


def test_prometheus_scrapes_them_with_our_configuration_and_answers_every_panel(watched: Watched) -> None:
    if not watched.prometheus:
        pytest.skip("prometheus is not installed (Debian: prometheus)")

    def ask(query: str) -> Any:
        answer = httpx.get(f"{watched.prometheus}/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", f"{query}: {answer}"
        return answer["data"]["result"]

    complete = sum(trial.status == "complete" for trial in watched.trials)
    (series,) = ask('last_over_time(ray_mixwright_sweep_trials{sweep="small", state="complete"}[10m])')
    assert float(series["value"][1]) == complete
    (speed,) = ask("max_over_time(ray_mixwright_sweep_tokens_per_second[10m])")
    assert float(speed["value"][1]) > 0
    names = {name for scraped in exported(SOURCES["sweep"]).values() for name in scraped}
    # Nothing was lost, so that the counter has not begun.
    missing = {name for name in names if not ask(f"last_over_time({name}[10m])")} - {"ray_mixwright_sweep_retries_total"}
    assert missing == set()
    for board in SOURCES:
        for query in queries(dashboard(board)):
            ask(query.replace("$sweep", ".*").replace("$__rate_interval", "1m"))
