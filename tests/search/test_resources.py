"""What `auto` comes to, on made-up clusters."""

from __future__ import annotations

import pytest

from mixwright.config import AUTO, SweepConfig
from mixwright.errors import ConfigError
from mixwright.search.resources import Node, lane_count, left_by, settled

CPUS_ONLY: list[Node] = [{"CPU": 4.0}, {"CPU": 2.0}]
GPUS: list[Node] = [{"CPU": 8.0}, {"CPU": 16.0, "GPU": 4.0}, {"CPU": 16.0, "GPU": 2.0}]


def config(*, trials: int = 100, zero_stage: int = 0, **cluster: object) -> SweepConfig:
    search = {"trials": trials, "parameters": {"lora.rank": {"choices": [2, 4]}}} if trials > 1 else {}
    return SweepConfig.model_validate({"name": "x", "search": search, "train": {"zero_stage": zero_stage}, "cluster": cluster})


def shape(settings: SweepConfig, nodes: list[Node]) -> tuple[object, object, object]:
    cluster = settled(settings, nodes).cluster
    return cluster.lanes, cluster.workers, cluster.gpus_per_worker


@pytest.mark.parametrize(
    ("settings", "nodes", "expected"),
    [
        (config(), CPUS_ONLY, (6, 1, 0)),
        (config(), GPUS, (6, 1, 1)),
        (config(trials=3), GPUS, (3, 1, 1)),
        (config(trials=1), CPUS_ONLY, (1, 1, 0)),
        (config(workers=2), CPUS_ONLY, (3, 2, 0)),
        (config(cpus_per_worker=3), CPUS_ONLY, (1, 1, 0)),
        (config(zero_stage=3), CPUS_ONLY, (1, 4, 0)),
        (config(zero_stage=3), GPUS, (1, 4, 1)),
        (config(zero_stage=3, gpus_per_worker=2), GPUS, (1, 2, 2)),
        (config(gpus_per_worker=0), GPUS, (40, 1, 0)),
        (config(lanes=2, workers=3, gpus_per_worker=0), GPUS, (2, 3, 0)),
        (config(workers=9), CPUS_ONLY, (1, 9, 0)),
    ],
)
def test_auto_follows_from_what_the_nodes_have(settings: SweepConfig, nodes: list[Node], expected: tuple[int, int, int]) -> None:
    assert shape(settings, nodes) == expected


@pytest.mark.parametrize(
    ("given", "expected"), [({}, True), ({"lanes": 2}, False), ({"lanes": 2, "elastic": True}, True), ({"elastic": False}, False)]
)
def test_lanes_follow_the_cluster_unless_they_are_a_number(given: dict[str, object], expected: bool) -> None:
    assert settled(config(**given), CPUS_ONLY).cluster.elastic is expected


@pytest.mark.parametrize(
    ("bundles", "left"),
    [
        ([], [{"CPU": 4.0}, {"CPU": 2.0}]),
        ([{"CPU": 3.0}, {"CPU": 2.0}], [{"CPU": 1.0}, {"CPU": 0.0}]),
        ([{"CPU": 5.0}], [{"CPU": 4.0}, {"CPU": 2.0}]),
        ([{"CPU": 1.0, "GPU": 1.0}], [{"CPU": 4.0}, {"CPU": 2.0}]),
    ],
)
def test_what_others_wait_for_is_not_free_unless_it_fits_nowhere(bundles: list[Node], left: list[Node]) -> None:
    assert left_by(bundles, CPUS_ONLY) == left


def test_a_settled_configuration_stays_as_it_is() -> None:
    once = settled(config(), GPUS)
    assert settled(once, CPUS_ONLY) == once
    assert lane_count(once) == 6


def test_auto_is_the_default_and_null_means_it_too() -> None:
    assert (config().cluster.lanes, config().cluster.workers, config().cluster.gpus_per_worker) == (AUTO, AUTO, AUTO)
    assert config(lanes=None).cluster.lanes == AUTO


@pytest.mark.parametrize("key", ["lanes", "workers", "gpus_per_worker"])
def test_another_word_than_auto_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"cluster\.{key}"):
        SweepConfig(name="x").with_values({f"cluster.{key}": "many"})


@pytest.mark.parametrize("key", ["model.quantization", "cluster.workers", "train.zero_stage", "train.precision"])
def test_what_a_lane_keeps_from_trial_to_trial_cannot_be_searched(key: str) -> None:
    values = {
        "model.quantization": ["none", "nf4"],
        "cluster.workers": [1, 2],
        "train.zero_stage": [0, 3],
        "train.precision": ["bf16", "fp32"],
    }
    with pytest.raises(ValueError, match=rf"search\.parameters\.{key}: all trials of a sweep share it"):
        SweepConfig.model_validate({"name": "x", "search": {"trials": 2, "parameters": {key: {"choices": values[key]}}}})
