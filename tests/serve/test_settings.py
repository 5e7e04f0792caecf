"""What an endpoint serves is settled, and refused, before a replica starts."""

from __future__ import annotations

import socket

import pytest
from serve.settings import of_run, resolve

from mixwright.config import ModelConfig, ServeConfig, SweepConfig
from mixwright.errors import ConfigError, ServeError
from mixwright.models import COMPLETE
from mixwright.scenarios import Instructions, Scenario, Task
from mixwright.settings import dump_yaml

SCENARIO = Scenario(
    name="made_up",
    tasks=(Task(name="polish", metric="gleu", instructions=Instructions(train=("Polish.",), evaluation=("Shine.",))),),
)


@pytest.fixture
def run_dir(tmp_path):
    """A run folder with two adapters, one still being written."""
    scenario = tmp_path / "made_up.yaml"
    scenario.write_text(dump_yaml(SCENARIO), encoding="utf-8")
    config = SweepConfig(
        name="one", scenario=str(scenario), model=ModelConfig(name="/models/made_up"), serve=ServeConfig(max_batch_size=3)
    )
    (tmp_path / "config.yaml").write_text(dump_yaml(config), encoding="utf-8")
    for name in ("done", "halfway"):
        (tmp_path / "adapters" / name).mkdir(parents=True)
    (tmp_path / "adapters" / "done" / COMPLETE).touch()
    return tmp_path


def test_a_run_folder_gives_model_scenario_batching_and_complete_adapters(run_dir):
    endpoint = resolve({"run_dir": str(run_dir)})
    assert endpoint.model.name == "/models/made_up"
    assert endpoint.scenario == SCENARIO
    assert endpoint.serve.max_batch_size == 3
    assert endpoint.adapters == {"done": str(run_dir / "adapters" / "done")}
    assert endpoint.run_dir == str(run_dir)


def test_the_run_folder_is_named_by_the_environment(run_dir, monkeypatch):
    monkeypatch.setenv("MIXWRIGHT_RUN", str(run_dir))
    assert resolve({}).run_dir == str(run_dir)


def test_a_sweep_and_its_folder_describe_the_same_endpoint(run_dir):
    config = ServeConfig(max_batch_size=3)
    assert of_run(config, run_dir, ModelConfig(name="/models/made_up"), SCENARIO) == resolve({"run_dir": str(run_dir)})


def test_arguments_override_the_run(run_dir):
    endpoint = resolve({"run_dir": str(run_dir), "model": {"name": "/models/other"}, "precision": "fp32"})
    assert (endpoint.model.name, endpoint.precision) == ("/models/other", "fp32")


def test_a_model_alone_is_served_without_a_run(run_dir):
    endpoint = resolve({"run_dir": None, "model": {"name": "/models/made_up"}, "scenario": str(run_dir / "made_up.yaml")})
    assert (endpoint.adapters, endpoint.run_dir) == ({}, "")
    with pytest.raises(ServeError, match="run_dir is null and `model` is not given"):
        resolve({"run_dir": None})


def test_a_folder_without_a_run_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(ServeError, match=r"no run to serve, there is no config\.yaml; run a sweep first"):
        resolve({"run_dir": str(tmp_path)})


def test_a_run_without_a_complete_adapter_is_refused(run_dir):
    (run_dir / "adapters" / "done" / COMPLETE).unlink()
    with pytest.raises(ServeError, match="adapters: no complete adapter to serve"):
        resolve({"run_dir": str(run_dir)})


def test_a_misspelt_argument_is_refused(run_dir):
    with pytest.raises(ConfigError, match="unknown key `run_dri`; did you mean 'run_dir'"):
        resolve({"run_dri": str(run_dir)})


def test_a_port_in_use_is_refused_with_the_port_and_the_way_out():
    app = pytest.importorskip("serve.app")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=rf"127.0.0.1:{port} cannot be used .*--set serve.port="):
            app.check_port(ServeConfig(port=port))
    app.check_port(ServeConfig(port=port))


def test_replicas_are_a_number_or_scale_with_the_work(run_dir):
    app = pytest.importorskip("serve.app")

    def deployed(**settings):
        endpoint = of_run(ServeConfig(**settings), run_dir, ModelConfig(name="/models/made_up"), SCENARIO)
        engine = app.application(endpoint)._bound_deployment.init_args[0]
        return engine._bound_deployment

    assert deployed(replicas=3).num_replicas == 3
    scaling = deployed(replicas={"min": 2, "max": 5, "target_ongoing_requests": 9})._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (2, 5, 9)
    assert deployed(request_timeout_s=70)._deployment_config.graceful_shutdown_timeout_s == 70
    with pytest.raises(ValueError, match="max must be at least min, got 1 and 2; swap them"):
        ServeConfig(replicas={"min": 2, "max": 1})
