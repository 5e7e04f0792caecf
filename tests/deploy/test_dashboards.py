"""What Prometheus scrapes and Grafana draws: files that are valid, and figures that our code tells.

No Grafana reads the dashboards here; Prometheus' own promtool reads the configuration and each query where it is installed.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "monitoring"
SOURCES = {"sweep": ROOT / "platform/mixwright/search/metrics.py", "endpoint": ROOT / "serve/metrics.py"}
"""Dashboard -> the module whose figures it shows."""
SUFFIXES = {"Gauge": ("",), "Counter": ("_total",), "Histogram": ("_bucket", "_sum", "_count")}
"""What Ray's exporter makes of a name."""


def dashboard(name: str) -> dict[str, Any]:
    board: dict[str, Any] = json.loads((FOLDER / f"grafana-{name}.json").read_text(encoding="utf-8"))
    return board


def queries(board: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def exported(path: Path) -> dict[str, tuple[str, ...]]:
    """Metric -> the names that it is scraped under."""
    if not path.exists():
        pytest.skip(f"{path.relative_to(ROOT)} is not there: the endpoint tells no figures yet")
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    found = {}
    for call in calls:
        if isinstance(call.func, ast.Name) and call.func.id in SUFFIXES and isinstance(call.args[0], ast.Constant):
            name = call.args[0].value
            found[name] = tuple(f"ray_{name}{suffix}" for suffix in SUFFIXES[call.func.id])
    return found


@pytest.mark.parametrize("name", SOURCES)
def test_every_figure_of_a_dashboard_is_told_and_every_one_that_is_told_is_shown(name: str) -> None:
    metrics = exported(SOURCES[name])
    assert metrics
    shown = set(re.findall(r"\bray_mixwright_\w+", " ".join(queries(dashboard(name)))))
    assert shown - {scraped for names in metrics.values() for scraped in names} == set()
    assert {metric for metric, names in metrics.items() if not shown & set(names)} == set()


@pytest.mark.parametrize("name", SOURCES)
def test_labels_that_a_query_asks_for_are_tags_of_our_metrics(name: str) -> None:
    tags = {"sweep", "state", "lost"} if name == "sweep" else {"route", "status", "adapter"}
    own = [query for query in queries(dashboard(name)) if "ray_mixwright_" in query]
    grouped = {label.strip() for query in own for group in re.findall(r"by \(([^)]+)\)", query) for label in group.split(",")}
    filtered = {label for query in own for label in re.findall(r"(\w+)=~?\"", query)}
    assert (grouped | filtered) - tags == {"le"}


@pytest.mark.parametrize("name", SOURCES)
def test_a_dashboard_is_one_that_grafana_can_load(name: str) -> None:
    board = dashboard(name)
    assert board["uid"] == f"mixwright-{name}"
    variables = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(board["panels"]))) - {"__rate_interval", "__range"}
    assert used == variables
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    for panel in board["panels"]:
        assert panel["title"]
        assert panel["description"]
        assert [target["refId"] for target in panel["targets"]] == [chr(ord("A") + index) for index in range(len(panel["targets"]))]


@pytest.mark.parametrize("name", SOURCES)
def test_no_panel_lies_on_another(name: str) -> None:
    places = [panel["gridPos"] for panel in dashboard(name)["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below


def test_prometheus_finds_nodes_in_the_file_that_ray_writes() -> None:
    from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE

    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = config["scrape_configs"]
    assert job["file_sd_configs"][0]["files"] == [f"/tmp/ray/{PROMETHEUS_SERVICE_DISCOVERY_FILE}"]


def test_promtool_accepts_the_configuration_and_every_query(tmp_path: Path) -> None:
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed (Debian: prometheus)")
    plain = [
        query.replace("$__rate_interval", "1m").replace("$__range", "1h").replace("$sweep", ".*")
        for name in SOURCES
        for query in queries(dashboard(name))
    ]
    rules = [{"record": f"panel:{index}", "expr": query} for index, query in enumerate(plain)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    for command in (["check", "rules", str(tmp_path / "rules.yml")], ["check", "config", str(FOLDER / "prometheus.yml")]):
        result = subprocess.run(["promtool", *command], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
