"""Whether this machine, a cluster and a space are fit for a sweep: a line a check, with what was found and what to do.

python jobs/doctor.py [--space SPACE.yaml] [--set key=value ...] [--run-dir DIR] [--no-ray] [--json]
ray job submit --runtime-env runtime_env.yaml -- python jobs/doctor.py --space SPACE.yaml --run-dir DIR
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for `serve`, which is no part of the installed package
sys.path.append(str(Path(__file__).resolve().parent.parent / "platform"))  # where the package itself is not installed

from mixwright import environment
from mixwright.doctor import machine, packages
from mixwright.doctor.results import Check, attempt
from mixwright.errors import run_job

ROOT = Path(__file__).resolve().parent.parent


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Say whether this machine, a cluster and a space are fit for a sweep.")
    parser.add_argument("--space", type=Path, metavar="SPACE.yaml", help="look at its model, data, port and cluster too")
    parser.add_argument("--run-dir", metavar="DIR", help="folder of the run, or its address: s3://... (default: runs/NAME)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a dotted key; may be repeated")
    parser.add_argument("--no-ray", action="store_true", help="leave Ray out; where none is named, a local one is started")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    logging.getLogger("mixwright").setLevel(logging.ERROR)
    checks = []
    for check in examined(arguments):
        checks.append(check)
        if not arguments.json:
            print(check.line, flush=True)  # noqa: T201 - the lines are the output
    failed = [check.name for check in checks if check.status == "fail"]
    if arguments.json:
        print(json.dumps({"ok": not failed, "checks": [asdict(check) for check in checks]}, indent=2))  # noqa: T201
    else:
        warned = sum(check.status == "warn" for check in checks)
        print(f"\n{len(checks)} checks: {len(failed)} failed, {warned} warned")  # noqa: T201
    return 1 if failed else 0


def examined(arguments: argparse.Namespace) -> Iterator[Check]:
    """Every check in its order: what the later ones stand on comes first, and Ray, the slowest, last."""
    described = environment.describe()
    yield packages.python_version()
    yield from attempt("packages", lambda: packages.package_versions(ROOT / "constraints.txt", ROOT / "pyproject.toml"))
    yield from attempt("processor", lambda: machine.processor_here(described))
    yield from attempt("operators", machine.operators)
    for name, check in of_a_space(arguments, described):
        yield from attempt(name, check)


def of_a_space(
    arguments: argparse.Namespace, described: dict[str, object]
) -> Iterator[tuple[str, Callable[[], Check | Iterable[Check]]]]:
    """The checks that hang on a configuration; without a space on its defaults, and without its data."""
    from mixwright.config import SweepConfig, load_config
    from mixwright.doctor import cluster, space
    from mixwright.scenarios import load_scenario
    from mixwright.store import remote

    config = SweepConfig(name="doctor")
    if arguments.space:
        loaded = attempt("space", lambda: _loads(arguments))
        yield "space", lambda: loaded
        if loaded[-1].status == "fail":
            return
        config = load_config(arguments.space, arguments.set)
    place = str(arguments.run_dir or Path("runs") / config.name)
    run_dir = remote.mirror(place).local if remote.is_address(place) else Path(place)
    wanted = 0 if config.cluster.address or config.cluster.gpus_per_worker == "auto" else config.cluster.gpus_each
    yield "gpus", lambda: machine.gpus_here(described, wanted)
    yield "model", lambda: space.model(config.model)
    if arguments.space:
        yield "data", lambda: space.data(config, load_scenario(config.scenario).with_unseen(config.unseen))
    yield "port", lambda: port(config)
    yield "disk", lambda: machine.disks(run_dir)
    yield "store", lambda: machine.address(place) if remote.is_address(place) else machine.store(run_dir)
    if not arguments.no_ray:
        yield "ray", lambda: cluster.ray_cluster(config.cluster, run_dir)


def _loads(arguments: argparse.Namespace) -> Check:
    from mixwright.config import load_config
    from mixwright.scenarios import load_scenario
    from mixwright.search.checks import check_space

    config = load_config(arguments.space, arguments.set)
    check_space(config, load_scenario(config.scenario).with_unseen(config.unseen))
    return Check(name="space", status="ok", found=f"{arguments.space}: {config.name}, {config.search.trials} trials")


def port(config: object) -> Check:
    """Whether the endpoint of the final evaluation can have its port.

    Raises:
        ServeError: it is taken.
    """
    from serve.app import check_port

    from mixwright.config import SweepConfig

    assert isinstance(config, SweepConfig)
    check_port(config.serve)
    return Check(name="port", status="ok", found=f"{config.serve.host}:{config.serve.port} is free")


if __name__ == "__main__":
    run_job(main)
