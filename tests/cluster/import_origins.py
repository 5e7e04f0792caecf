"""A job that writes down where its driver, its lanes' workers and a Serve replica find `platform`, torch and mixwright.

    ray job submit --runtime-env runtime_env.yaml -- python import_origins.py SPACE.yaml RUN_DIR

What comes in: a space, whose trials its own evaluator scores. What goes out: RUN_DIR/origins/NAME.json, a file a process.
"""

from __future__ import annotations

import json
import platform
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any


def origins() -> dict[str, Any]:
    """Of the process that asks."""
    import ray
    import torch

    import mixwright

    now = PathFinder.find_spec("platform")
    assert now is not None
    return {
        "node": ray.util.get_node_ip_address(),
        "system": platform.system(),
        "platform": platform.__file__,
        "platform_if_imported_now": now.origin,
        "folders_called_platform": [entry for entry in sys.path if (Path(entry) / "platform").is_dir()],
        "torch": torch.__version__,
        "mixwright": mixwright.__file__,
    }


def write(run_dir: Path, name: str, found: dict[str, Any]) -> None:
    (run_dir / "origins").mkdir(exist_ok=True)
    (run_dir / "origins" / f"{name}.json").write_text(json.dumps(found))


class OriginsEvaluator:
    """Writes the origins of the lane's worker that it is made on; the higher the rank, the better its score."""

    def __init__(self, setup: Any, base: Any) -> None:
        found = origins()
        write(setup.run_dir, f"lane-{found['node']}", found)

    def __call__(self, model: Any, config: Any) -> Any:
        from mixwright.records import Objectives
        from mixwright.train.resident import Evaluation

        score = float(config.lora.rank)
        return Evaluation(objectives=Objectives(seen=score, unseen=0.0, retention=0.0), task_scores={"clarity": score})


class Replica:
    """What Serve places like a replica of the endpoint."""

    def __call__(self) -> dict[str, Any]:
        import serve.app  # noqa: F401 - travels in the working directory, and a replica imports it

        return origins()


def main(space: Path, run_dir: Path) -> None:
    from ray import serve

    from mixwright.config import load_config
    from mixwright.data.prepare import prepare
    from mixwright.scenarios import load_scenario
    from mixwright.search import sweep
    from mixwright.search.cluster import connected
    from mixwright.store.runs import open_run

    config = load_config(space)
    scenario = load_scenario(config.scenario)
    with connected(config.cluster):
        run = open_run(run_dir, config, resume=False)
        write(run_dir, "driver", origins())
        sweep.search(config, scenario, prepare(config.data, scenario, seed=0), run, OriginsEvaluator)
        serve.start(proxy_location="Disabled")
        handle = serve.run(serve.deployment(Replica).bind(), name="origins", route_prefix=None)
        write(run_dir, "replica", handle.remote().result())
        serve.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
