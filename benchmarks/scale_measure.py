"""The costs that `scale.py` reckons with, and small runs to hold it against, measured on this machine.

    python benchmarks/scale_measure.py [--quick] [PART ...]

Writes `scale_inputs.json` beside it, each part with hardware, commit and load; without a PART, all of them:

driver       What the driver takes for a suggestion and for a result: from `search_scale.py`.
checkpoint   Bytes and seconds of a checkpoint, by the parameters of the adapter, on the embedded model.
trial        The embedded model on one process of this machine: tokens a second, an evaluation, a switch.
lanes        Sweeps of `lanes.py`'s tiny model: one to set the model by, others to predict.
nodes        Sweeps of trials that sleep: those of `cluster_scale.py`.
loss         A node that is lost under a trial, on a cluster of three Ray nodes: until the trial trains again on another.

Wall times want a machine that does nothing else; the load before each part stands beside it.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import cluster_scale
import lanes
import ray
from common import ROOT, load, timed
from ray.cluster_utils import Cluster

from mixwright import environment
from mixwright.config import ClusterConfig, SweepConfig, load_config
from mixwright.data.prepare import prepare, tokenize
from mixwright.errors import run_job
from mixwright.models import load_tokenizer, tokens_cache
from mixwright.scenarios import load_scenario
from mixwright.search import probe, sweep
from mixwright.search.cluster import connected
from mixwright.search.resources import settled, this_machine
from mixwright.search.sweep import SearchResult
from mixwright.store.runs import RunFolder, open_run
from mixwright.testing import make_tiny_model
from mixwright.train import checkpoint, process
from mixwright.train.choices import choose
from mixwright.train.loop import Trial
from mixwright.train.reporter import METRICS_FILE, MIXTURE_FILE, trial_folder
from mixwright.train.resident import Assignment, Resident, Setup
from mixwright.train.sizes import model_sizes, trainable_parameters

INPUTS = Path(__file__).with_name("scale_inputs.json")
RANKS = (8, 64)
LOST_NODE_RUNGS = (0.05, 0.1, 1.0)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures what scale.py reckons with.")
    parser.add_argument("--quick", action="store_true", help="shorter runs")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all where none is named")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    for module in (lanes, cluster_scale):
        ray.cloudpickle.register_pickle_by_value(module)  # workers need not find it
    for name in options.parts or PARTS:
        before = load()
        with redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
            found = PARTS[name](Path(folder), options.quick)
        note(name, {**found, "environment": environment.describe(), "load_before": before})
        sys.stdout.write(f"{name}: {json.dumps(found)}\n")
    return 0


def note(name: str, part: dict[str, Any]) -> None:
    """Puts one part into the file; the others stay."""
    parts = json.loads(INPUTS.read_text(encoding="utf-8")) if INPUTS.exists() else {}
    INPUTS.write_text(json.dumps({**parts, name: part}, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def benchmark(name: str, *options: str) -> dict[str, Any]:
    """What another benchmark prints."""
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--json", *options]
    printed: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return printed


def driver(folder: Path, quick: bool) -> dict[str, Any]:
    """Lanes that answer at once keep the driver busy. Processor time a trial, which other load hardly moves, shared out between a
    suggestion and results as wall time is."""
    figures = benchmark("search_scale", *(["--quick"] if quick else []))["figures"]
    each_s, suggesting = figures["driver_ms_per_trial"] / 1000, figures["own_ms_suggest"] / figures["overhead_ms_per_trial"]
    results = 1.5  # of two rungs, half the trials reach the second
    return {"suggest_s": each_s * suggesting, "result_s": each_s * (1 - suggesting) / results, "figures": figures}


def checkpoints(folder: Path, quick: bool) -> dict[str, Any]:
    """Checkpoints of one worker, after one step; the median of five."""
    config = lanes.configuration(Path("embedded"), 1, 0)
    config = config.model_copy(
        update={
            "model": config.model.model_copy(update={"name": "embedded"}),
            "train": config.train.model_copy(update={"precision": "bf16"}),
            "mixture": config.mixture.model_copy(update={"size": 4}),
            "cluster": ClusterConfig(workers=1, gpus_per_worker=0),
        }
    )
    sizes, found = model_sizes(config), []
    with process.group() as device:
        setup = Setup.settled(
            config,
            choose(config, device, tokens=1e3, share=1.0),
            scenario=lanes.SCENARIO,
            data=lanes.prepared(),
            run_dir=folder,
            make_evaluator=lanes.HeldOutLoss,
        )
        resident = Resident(setup, device)
        for rank in RANKS[:1] if quick else RANKS:
            point = setup.config.with_values({"lora.rank": rank})
            resident.run(Assignment(trial_id=f"trial_{rank:04d}", config=point, rung=0))
            assert resident.trial is not None
            parameters = trainable_parameters(point, sizes)
            found.append({"rank": rank, "parameters": parameters, **written(resident.trial, folder / f"checkpoints{rank}")})
    return {"checkpoints": found, "precision": setup.precision}


def written(trial: Trial, place: Path) -> dict[str, float]:
    """Bytes of a checkpoint, and the median seconds of writing it; with the digests, and older ones removed."""
    seconds = []
    for number in range(5):
        progress = replace(trial.progress, tag=f"checkpoint-{number}", step=number + 1)
        seconds.append(timed(partial(checkpoint.save_checkpoint, trial.engine, place, progress))[1])
    return {"bytes": sum(path.stat().st_size for path in (place / progress.tag).iterdir()), "seconds": statistics.median(seconds)}


def embedded_trial(folder: Path, quick: bool) -> dict[str, Any]:
    """The demo's first trial, as `--plan --measure` has it."""
    config = load_config(ROOT / "search_spaces" / "demo.yaml")
    scenario, seed = load_scenario(config.scenario), config.search.seed
    data = prepare(config.data, scenario, seed=seed)
    data = tokenize(data, load_tokenizer(config.model), scenario, config.model, seed=seed, cache=tokens_cache())
    return {**vars(probe.measure(settled(config, this_machine()), scenario, data)), "dev_rows": config.evaluation.dev_rows}


def sweeps(folder: Path, quick: bool) -> dict[str, Any]:
    """One lane of one worker to set the model by; then more trials on one lane, and on two."""
    model, first = make_tiny_model(folder / "model"), 6 if quick else 8
    with connected(ClusterConfig(dashboard=False)):
        return {
            "runs": [
                sweep_of(folder / f"run{number}", lanes.configuration(model, trials, 0), side_by_side)
                for number, (trials, side_by_side) in enumerate([(first, 1), (2 * first, 1), (2 * first, 2)])
            ]
        }


def sweep_of(folder: Path, config: SweepConfig, side_by_side: int) -> dict[str, Any]:
    """A real sweep, and the moments that a model of it has to give. Its trials are longer than those of `lanes.py`, which times
    switches: here steps shall count too."""
    config = config.model_copy(
        update={
            "mixture": config.mixture.model_copy(update={"size": 120, "epochs": 6}),
            "cluster": ClusterConfig(lanes=side_by_side, workers=1, dashboard=False),
        }
    )
    run = open_run(folder, config, resume=False)
    result = sweep.search(config, lanes.SCENARIO, lanes.prepared(), run, lanes.HeldOutLoss)
    ended = time.time()
    begun = ended - result.seconds
    return {
        "lanes": side_by_side,
        "wall_s": result.seconds,
        "start_s": entered_at(run, 0) - begun,
        "starts_s": [entered_at(run, number) - begun for number in range(side_by_side)],
        "close_s": ended - (run.path / "trials.jsonl").stat().st_mtime,
        "rungs": lanes.RUNGS,
        "trials": trials_of(result),
    }


def entered_at(run: RunFolder, number: int) -> float:
    """When a trial was first on its workers, in seconds of `time.time`."""
    return (trial_folder(run.path, f"trial_{number:04d}") / MIXTURE_FILE).stat().st_mtime


def trials_of(result: SearchResult) -> list[dict[str, Any]]:
    return [
        {
            "seconds": [rung.seconds for rung in record.rungs],
            "scores": [rung.objectives.seen for rung in record.rungs],
            "switch_s": record.switch_seconds,
        }
        for record in result.trials
    ]


def sleeping(folder: Path, quick: bool) -> dict[str, Any]:
    """Our side of `cluster_scale.py`, three times on each number of nodes; the median."""
    size, found, there = cluster_scale.QUICK if quick else cluster_scale.FULL, {}, 0
    with cluster_scale.nodes() as cluster:
        for count in cluster_scale.LANES:
            for _ in range(count - there):
                cluster.add_node(num_cpus=1, resources={cluster_scale.SEAT: 1})
            there = count
            cluster.wait_for_nodes()
            rows = [slept(Path(tempfile.mkdtemp(dir=folder)), count, size) for _ in range(3)]
            found[str(count)] = {"seconds": statistics.median(rows), "rows": rows}
    return {"trials_a_lane": size.trials_a_lane, "trial_s": size.trial_s, "lanes": found}


def slept(folder: Path, count: int, size: cluster_scale.Size) -> float:
    """From the moment when all lanes were up to the end of the last trial."""
    gate = cluster_scale.Gate(folder / "up", count)
    return cluster_scale.ours(folder, gate, count, size).last_at - gate.opened_at()


def loss(folder: Path, quick: bool) -> dict[str, Any]:
    """Kills the raylet under a trial's worker, as a machine that is gone, while another node stands idle."""
    config = lanes.configuration(make_tiny_model(folder / "model"), 1, 0)
    search = config.search.model_copy(update={"scheduler": config.search.scheduler.model_copy(update={"rungs": LOST_NODE_RUNGS})})
    config = config.model_copy(
        update={
            "search": search,
            "train": config.train.model_copy(update={"micro_batch_size": 1}),
            "mixture": config.mixture.model_copy(update={"size": 120, "epochs": 8}),
            "cluster": ClusterConfig(lanes=1, workers=1, gpus_per_worker=0, driver_resource="durable", dashboard=False),
        }
    )
    run = open_run(folder / "run", config, resume=False)
    moments: list[float] = []
    with three_nodes() as cluster:
        watch = threading.Thread(target=lose_a_node, args=(cluster, trial_folder(run.path, "trial_0000"), moments), daemon=True)
        watch.start()
        result = sweep.search(config, lanes.SCENARIO, lanes.prepared(), run, lanes.HeldOutLoss)
        watch.join(1.0)
    if [record.status for record in result.trials] != ["complete"]:
        raise AssertionError(f"the trial did not end: {result.trials[0].cause}")
    lost, entered, stepped = moments
    return {"until_on_workers_s": entered - lost, "until_first_step_s": stepped - lost}


@contextmanager
def three_nodes() -> Iterator[Cluster]:
    """A head where the lane lives, and two nodes of which either can hold its worker."""
    with mock.patch.dict("os.environ", RAY_AUTH_MODE="disabled"):
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "resources": {"durable": 4}})
        try:
            for _ in range(2):
                cluster.add_node(num_cpus=1)
            cluster.wait_for_nodes()
            with connected(ClusterConfig(address=cluster.address)):
                yield cluster
        finally:
            cluster.shutdown()


def lose_a_node(cluster: Cluster, place_of_trial: Path, moments: list[float]) -> None:
    """After the first checkpoint; notes when the node was lost, the trial on its workers again, and its next step taken."""
    from ray._private.state import actors

    wait_for(lambda: any(place_of_trial.glob("checkpoint/*/state.json")))
    workers = [actor for actor in actors().values() if "RayTrainWorker" in actor["ActorClassName"] and actor["State"] == "ALIVE"]
    (place,) = {actor["Address"]["NodeID"] for actor in workers}
    node = next(node for node in cluster.list_all_nodes() if node.node_id == place)
    moments.append(time.time())
    cluster.remove_node(node, allow_graceful=False)
    for name in (MIXTURE_FILE, METRICS_FILE):
        since = moments[-1]
        wait_for(partial(is_newer, place_of_trial / name, since))
        moments.append((place_of_trial / name).stat().st_mtime)


def is_newer(path: Path, moment: float) -> bool:
    return path.exists() and path.stat().st_mtime > moment


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not happen within 300 s")
        time.sleep(0.02)


PARTS: dict[str, Callable[[Path, bool], dict[str, Any]]] = {
    "driver": driver,
    "checkpoint": checkpoints,
    "trial": embedded_trial,
    "lanes": sweeps,
    "nodes": sleeping,
    "loss": loss,
}


if __name__ == "__main__":
    logging.getLogger("mixwright").setLevel(logging.WARNING)
    run_job(main)
