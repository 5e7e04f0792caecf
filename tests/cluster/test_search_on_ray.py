"""The search on a real local Ray cluster: lanes, failures, killed workers. One cluster serves the module."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import ray
import safetensors.torch
from ray.util import placement_group_table
from small_space import write_space

from mixwright.config import SweepConfig, load_config
from mixwright.data.prepare import prepare
from mixwright.errors import HardwareError
from mixwright.records import TrialRecord
from mixwright.report.regressors import write_regressor_tables
from mixwright.scenarios import load_scenario
from mixwright.search import sweep
from mixwright.search.cluster import connected
from mixwright.search.confirm import confirm, confirmed
from mixwright.search.objective import Choice, choose_best
from mixwright.search.resources import settled_here
from mixwright.store.runs import RunFolder, open_run
from mixwright.train.sizes import model_sizes

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with connected(SweepConfig(name="x").cluster.model_copy(update={"dashboard": False})):
        yield


def run_search(space: Path, run_dir: Path, *, resume: bool = False) -> tuple[RunFolder, sweep.SearchResult]:
    config = load_config(space)
    scenario = load_scenario(config.scenario)
    data = prepare(config.data, scenario, seed=config.search.seed)
    run = open_run(run_dir, config, resume=resume)
    return run, sweep.search(config, scenario, data, run)


@pytest.fixture(scope="module")
def finished(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, sweep.SearchResult]:
    folder = tmp_path_factory.mktemp("space")
    return run_search(write_space(folder, tiny_model), folder / "run")


def test_every_trial_takes_steps_and_has_its_record(finished: tuple[RunFolder, sweep.SearchResult]) -> None:
    run, result = finished
    assert [trial.trial_id for trial in result.trials] == [f"trial_{number:04d}" for number in range(4)]
    assert all(trial.status in ("complete", "stopped") and trial.rungs[-1].step > 0 for trial in result.trials)
    assert sum(trial.status == "complete" for trial in result.trials) >= 1
    for trial in result.trials:
        lines = (run.path / "trials" / trial.trial_id / "metrics.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == list(range(1, trial.rungs[-1].step + 1))
        assert sum(trial.counts.values()) == 48
        assert trial.counts.get("generic", 0) == round(48 * trial.params["mixture.generic_fraction"])


def test_complete_trials_have_an_adapter_and_no_checkpoint_is_left(finished: tuple[RunFolder, sweep.SearchResult]) -> None:
    run, result = finished
    for trial in result.trials:
        assert bool(trial.adapter) == (trial.status == "complete")
        assert not (run.path / "trials" / trial.trial_id / "checkpoint").exists()
        if trial.adapter:
            assert (run.path / trial.adapter / "COMPLETE").exists()


def test_the_study_knows_complete_trials_from_stopped_ones(finished: tuple[RunFolder, sweep.SearchResult]) -> None:
    run, result = finished
    study = optuna.load_study(study_name="sweep", storage=run.study_url)
    states = {trial.user_attrs["trial_id"]: trial.state.name for trial in study.get_trials()}
    expected = {"complete": "COMPLETE", "stopped": "PRUNED"}
    assert states == {trial.trial_id: expected[trial.status] for trial in result.trials}


def test_the_base_model_is_evaluated_with_nothing_lost(finished: tuple[RunFolder, sweep.SearchResult]) -> None:
    assert finished[1].base.objectives.retention == 0.0
    assert set(finished[1].base.task_scores) == {"clarity", "fluency", "paraphrasing"}


def test_lanes_give_their_workers_back(finished: tuple[RunFolder, sweep.SearchResult]) -> None:
    deadline = time.monotonic() + 20
    while ray.available_resources().get("CPU", 0) < ray.cluster_resources()["CPU"] and time.monotonic() < deadline:
        time.sleep(0.2)
    assert ray.available_resources()["CPU"] == ray.cluster_resources()["CPU"]
    assert {group["state"] for group in placement_group_table().values()} == {"REMOVED"}


def test_a_finished_search_run_again_does_nothing(finished: tuple[RunFolder, sweep.SearchResult], tiny_model: Path) -> None:
    run, result = finished
    before = {path: path.stat().st_mtime_ns for path in (run.path / "trials").rglob("*") if path.is_file()}
    _, again = run_search(run.path.parent / "space.yaml", run.path, resume=True)
    assert again.trials == result.trials
    assert {path: path.stat().st_mtime_ns for path in (run.path / "trials").rglob("*") if path.is_file()} == before


def test_more_trials_can_be_asked_for_later_and_are_other_points(
    finished: tuple[RunFolder, sweep.SearchResult], tmp_path: Path
) -> None:
    run, result = finished
    space = run.path.parent / "space.yaml"
    config = load_config(space, ["search.trials=5"])
    scenario = load_scenario(config.scenario)
    more = sweep.search(config, scenario, prepare(config.data, scenario, seed=0), open_run(run.path, config, resume=True))
    assert len(more.trials) == 5
    assert more.trials[:4] == result.trials
    assert more.trials[4].params not in [trial.params for trial in result.trials]


def test_a_trial_that_fails_is_recorded_with_its_cause_and_the_search_goes_on(tiny_model: Path, tmp_path: Path) -> None:
    search = {
        "trials": 2,
        "parameters": {"train.learning_rate": {"choices": [1e30, 0.005]}},
        "first": [{"train.learning_rate": 1e30}, {"train.learning_rate": 0.005}],
        "scheduler": {"rungs": [1.0]},
    }
    train = {"micro_batch_size": 4, "precision": "fp32", "max_grad_norm": 1e30}
    run, result = run_search(write_space(tmp_path, tiny_model, search=search, train=train), tmp_path / "run")
    statuses = {trial.params["train.learning_rate"]: trial for trial in result.trials}
    assert statuses[1e30].status == "failed"
    assert "lower train.learning_rate" in statuses[1e30].cause
    assert statuses[0.005].status == "complete"
    states = [trial.state.name for trial in optuna.load_study(study_name="sweep", storage=run.study_url).get_trials()]
    assert sorted(states) == ["COMPLETE", "FAIL"]


def test_a_single_fine_tune_is_a_sweep_of_one_trial(tiny_model: Path, tmp_path: Path) -> None:
    space = write_space(tmp_path, tiny_model, search={"scheduler": {"kind": "none", "rungs": [1.0]}})
    _, result = run_search(space, tmp_path / "run")
    assert [(trial.status, trial.params) for trial in result.trials] == [("complete", {})]


def test_conditions_and_constraints_hold_in_a_sweep_and_refused_draws_cost_no_trial(tiny_model: Path, tmp_path: Path) -> None:
    per_rank = model_sizes(SweepConfig.model_validate({"name": "x", "model": {"name": str(tiny_model)}})).adapter_width
    search = {
        "trials": 3,
        "sampler": "random",
        "parameters": {
            "lora.rank": {"low": 1, "high": 64, "log": True},
            "lora.use_rslora": {"choices": [True, False]},
            "lora.alpha": {"low": 4, "high": 32, "when": {"lora.use_rslora": True}},
            "mixture.task_weights": {"simplex": ["clarity", "fluency"]},
        },
        "constraints": {"max_trainable_parameters": 6 * per_rank},
        "scheduler": {"kind": "median", "rungs": [0.5, 1.0]},
        "objective": {"kind": "constrained", "max_retention_loss_percent": 200},
    }
    run, result = run_search(write_space(tmp_path, tiny_model, search=search, mixture={"size": 16}), tmp_path / "run")
    assert [trial.status for trial in result.trials] == ["complete"] * 3
    for trial in result.trials:
        assert trial.params["lora.rank"] <= 6
        assert ("lora.alpha" in trial.params) == trial.params["lora.use_rslora"]
        assert trial.params["mixture.task_weights.clarity"] + trial.params["mixture.task_weights.fluency"] == pytest.approx(1.0)
    write_regressor_tables(tmp_path, result.trials)
    for trial, line in zip(result.trials, (tmp_path / "ratios.csv").read_text().splitlines()[1:], strict=True):
        rows = {task: trial.counts.get(task, 0) for task in ("clarity", "fluency")}
        assert rows["clarity"] / sum(rows.values()) == pytest.approx(trial.params["mixture.task_weights.clarity"], abs=1 / 8)
        assert sum(map(float, line.split(",")[1:])) == pytest.approx(1.0, abs=1e-5)
    trials = optuna.load_study(study_name="sweep", storage=run.study_url).get_trials()
    trained = {trial.trial_id for trial in result.trials}
    refused = [trial for trial in trials if trial.user_attrs.get("trial_id") not in trained]
    assert {trial.state.name for trial in refused} == {"PRUNED"}
    assert all(trial.params["lora.rank"] > 6 for trial in refused)
    limits = [trial.constraints["retention_loss"] for trial in trials if trial.state.name == "COMPLETE"]
    base_loss = result.base.generic_loss
    assert base_loss is not None
    assert sorted(limits) == pytest.approx(sorted(-trial.rungs[-1].objectives.retention - 2 * base_loss for trial in result.trials))


def test_two_workers_under_zero3_train_and_evaluate_one_trial_together(tiny_model: Path, tmp_path: Path) -> None:
    if ray.cluster_resources()["CPU"] < 2:
        pytest.skip("needs two CPUs")
    space = write_space(
        tmp_path,
        tiny_model,
        search={"scheduler": {"kind": "none", "rungs": [1.0]}},
        train={"micro_batch_size": 4, "learning_rate": 0.005, "precision": "fp32", "zero_stage": 3},
        cluster={"workers": 2, "dashboard": False},
    )
    run, result = run_search(space, tmp_path / "run")
    (trial,) = result.trials
    assert (trial.status, trial.rungs[-1].step) == ("complete", 6)
    tensors = safetensors.torch.load_file(run.path / trial.adapter / "adapter_model.safetensors")
    assert all(bool(tensor.any()) for name, tensor in tensors.items() if "lora_B" in name)


def test_full_fine_tunes_follow_one_another_each_from_the_base(tiny_model: Path, tmp_path: Path) -> None:
    search = {
        "trials": 2,
        "parameters": {"train.learning_rate": {"choices": [0.001, 0.002]}},
        "first": [{"train.learning_rate": 0.001}, {"train.learning_rate": 0.002}],
        "scheduler": {"kind": "none", "rungs": [1.0]},
    }
    space = write_space(
        tmp_path, tiny_model, search=search, model={"name": str(tiny_model), "tuning": "full"}, cluster={"lanes": 1}
    )
    run, result = run_search(space, tmp_path / "run")
    assert [trial.status for trial in result.trials] == ["complete", "complete"]
    first_losses = [
        json.loads((run.path / "trials" / trial.trial_id / "metrics.jsonl").read_text().splitlines()[0])["loss"]
        for trial in result.trials
    ]
    assert first_losses[0] == first_losses[1]
    assert result.trials[1].switch_seconds is not None  # on the same workers
    assert (run.path / result.trials[0].adapter / "config.json").exists()


def _kill_a_worker_that_has_trained(run_dir: Path, killed: list[int]) -> None:
    """Waits for a checkpoint, then kills a training worker among this process's own descendants, as a machine that dies would."""
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and not killed:
        if any(run_dir.glob("trials/*/checkpoint/*/state.json")):
            for process in psutil.Process().children(recursive=True):
                if "RayTrainWorker" in "".join(process.cmdline()):
                    process.kill()
                    killed.append(process.pid)
                    break
        time.sleep(0.05)


def test_a_killed_worker_costs_no_trial_and_no_step(tiny_model: Path, tmp_path: Path) -> None:
    search: dict[str, Any] = {"scheduler": {"kind": "none", "rungs": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0]}}
    space = write_space(tmp_path, tiny_model, search=search, mixture={"size": 70})
    killed: list[int] = []
    killer = threading.Thread(target=_kill_a_worker_that_has_trained, args=(tmp_path / "run", killed))
    killer.start()
    _, result = run_search(space, tmp_path / "run")
    killer.join()
    (trial,) = result.trials
    assert len(killed) == 1
    assert trial.status == "complete"
    lines = (tmp_path / "run" / "trials" / trial.trial_id / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, trial.rungs[-1].step + 1))


def test_a_lane_whose_workers_died_for_good_serves_the_next_trial(tiny_model: Path, tmp_path: Path) -> None:
    search = {
        "trials": 2,
        "parameters": {"train.learning_rate": {"choices": [0.001, 0.002]}},
        "first": [{"train.learning_rate": 0.001}, {"train.learning_rate": 0.002}],
        "scheduler": {"kind": "none", "rungs": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0]},
    }
    cluster = {"lanes": 1, "max_failures": 0, "dashboard": False}
    space = write_space(tmp_path, tiny_model, search=search, mixture={"size": 70}, cluster=cluster)
    killed: list[int] = []
    killer = threading.Thread(target=_kill_a_worker_that_has_trained, args=(tmp_path / "run", killed))
    killer.start()
    _, result = run_search(space, tmp_path / "run")
    killer.join()
    assert len(killed) == 1
    lost, next_one = result.trials
    assert lost.status == "failed"
    assert lost.cause.startswith("the trial lost its workers once (cluster.max_failures is 0); the last error: ")
    assert next_one.status == "complete"


def test_gpus_that_are_not_there_are_refused_before_anything_starts(tiny_model: Path, tmp_path: Path) -> None:
    space = write_space(tmp_path, tiny_model, cluster={"gpus_per_worker": 1, "dashboard": False})
    if ray.cluster_resources().get("GPU"):
        pytest.skip("this machine has a GPU")
    with pytest.raises(HardwareError, match=r"a trial needs 1 GPUs .* and the cluster has 0"):
        run_search(space, tmp_path / "run")


def test_records_survive_their_json_form(finished: tuple[RunFolder, sweep.SearchResult]) -> None:
    assert all(isinstance(trial, TrialRecord) for trial in finished[0].trials())


def test_the_best_points_are_trained_again_with_fresh_seeds_and_once(finished: tuple[RunFolder, sweep.SearchResult]) -> None:
    run, result = finished
    config = load_config(run.path.parent / "space.yaml", ["search.confirm.candidates=1", "search.confirm.seeds=2"])
    scenario = load_scenario(config.scenario)
    data = prepare(config.data, scenario, seed=config.search.seed)
    config, searched = settled_here(config), run.trials()

    def judge(trials: Sequence[TrialRecord]) -> Choice:
        return choose_best(trials, result.base.objectives, config.search.objective)

    done = confirm(config, scenario, data, run, result, judge)
    assert [record.status for record in done.confirmations] == ["complete", "complete"]
    assert [record.params["train.seed"] for record in done.confirmations] == [1000, 1001]
    assert all(record.rungs[-1].step > 0 for record in done.confirmations)
    assert run.trials() == searched
    lines = (run.path / "trials.jsonl").read_text().splitlines()
    assert confirm(config, scenario, data, run, result, judge) == done
    assert (run.path / "trials.jsonl").read_text().splitlines() == lines
    assert "fresh seeds" in confirmed(judge, done.trials, done.confirmations).reason
