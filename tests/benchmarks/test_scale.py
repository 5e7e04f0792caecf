"""docs/scale.md is what the model says, and the model says what was measured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import ray
from tests.benchmarks.quick import imported

scale = imported("scale")

SWEEPS_PERCENT, NODES_PERCENT = 25.0, 10.0
"""How far the model may be from the measured runs, as docs/scale.md says."""


QUICK_TABLES = ("inputs", "checks", "where", "short")


def tables(text: str) -> dict[str, str]:
    return dict(re.findall(r"<!-- table: (\w+) -->\n(.*?)\n<!-- end -->", text, flags=re.DOTALL))


def test_the_documents_tables_are_what_the_command_writes() -> None:
    written = tables(scale.DOCUMENT.read_text(encoding="utf-8"))
    assert written.keys() == scale.TABLES.keys()
    for name in QUICK_TABLES:
        assert written[name] == scale.markdown(scale.TABLES[name]()), f"{name}: python benchmarks/scale.py --write"


@pytest.mark.slow
def test_the_whole_document_and_its_picture_are_what_the_command_writes() -> None:
    text = scale.DOCUMENT.read_text(encoding="utf-8")
    assert text == scale.filled(text), "run: python benchmarks/scale.py --write"
    assert scale.PICTURE.read_text(encoding="utf-8") == scale.drawn(), "run: python benchmarks/scale.py --write"


def test_the_model_gives_the_measured_wall_times() -> None:
    measured = scale.inputs()
    assert scale.largest_error(scale.node_checks(measured)) < NODES_PERCENT
    assert scale.largest_error(scale.sweep_checks(measured)) < SWEEPS_PERCENT


@pytest.fixture(scope="module")
def two_nodes() -> Any:
    bench = imported("cluster_scale")
    ray.cloudpickle.register_pickle_by_value(bench)  # workers cannot import it under the name that it has here
    with bench.nodes() as cluster:
        for _ in range(2):
            cluster.add_node(num_cpus=1, resources={bench.SEAT: 1})
        cluster.wait_for_nodes()
        yield bench


@pytest.mark.slow
@pytest.mark.cluster
def test_a_real_sweep_on_two_nodes_takes_as_long_as_the_model_says(two_nodes: Any, tmp_path: Path) -> None:
    """Sleep is nine tenths of it, so that a busy machine hardly shows; a fifth more is let pass, and no less than the sleep."""
    gate, size = two_nodes.Gate(tmp_path / "up", 2), two_nodes.Size(trials_a_lane=4, trial_s=3.0)
    seconds = two_nodes.ours(tmp_path, gate, 2, size).last_at - gate.opened_at()
    work = scale.Work(trials=8, trial_s=3.0, rungs=two_nodes.RUNGS, reduction_factor=None)
    predicted = scale.simulate(work, scale.node_costs(scale.inputs()), scale.Fleet(lanes=2), lambda trial, rung: 0.0).wall_s
    assert 12.0 <= seconds <= 1.2 * predicted


@pytest.mark.slow
@pytest.mark.cluster
def test_the_model_stops_the_trials_that_a_real_sweep_stops(two_nodes: Any, tmp_path: Path) -> None:
    ended = two_nodes.ours(tmp_path, two_nodes.Gate(tmp_path / "up", 1), 1, two_nodes.Size(trials_a_lane=12, trial_s=0.2), "asha")
    reached = tuple(len(record.rungs) for record in ended)
    assert set(reached) == {1, 2}

    def score(trial: int, rung: int) -> float:
        return float(ended[trial].rungs[rung].objectives.seen)

    work = scale.Work(trials=12, trial_s=0.2, rungs=two_nodes.RUNGS)
    assert scale.simulate(work, scale.Costs(), scale.Fleet(lanes=1), score).rungs_reached == reached
