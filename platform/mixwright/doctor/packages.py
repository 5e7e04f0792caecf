"""Python and the packages, held against what is pinned. The standard library is enough to ask."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from mixwright.doctor.results import Check

PINNED_FOR = (3, 11)
SHOWN = 4


def python_version(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Check:
    """Whether this Python is one that the package runs on, and that the pins were made for."""
    found = f"{'.'.join(map(str, version))} ({sys.executable})"
    wanted = ".".join(map(str, PINNED_FOR))
    if version[:2] < PINNED_FOR:
        return Check(name="python", status="fail", found=found, advice=f"install Python {wanted} and run `make setup`")
    if version[:2] > PINNED_FOR:
        return Check(name="python", status="warn", found=found, advice=f"the pinned versions are tested on {wanted}")
    return Check(name="python", status="ok", found=found)


def package_versions(constraints: Path, project: Path, installed: Mapping[str, str] | None = None) -> Check:
    """Installed versions against constraints.txt: fail where a direct dependency is missing or another version, else warn.

    Args:
        constraints, project: constraints.txt and pyproject.toml.
        installed: name -> version; None: those of this environment.
    """
    there = installed_versions() if installed is None else installed
    try:
        pins = pinned_versions(constraints)
        direct = direct_dependencies(project)
    except FileNotFoundError as error:
        advice = "run this in a checkout, or as a job with --runtime-env runtime_env.yaml"
        return Check(name="packages", status="fail", found=f"no {error.filename} to hold them against", advice=advice)
    missing = [name for name in direct if name not in there]
    other = [name for name, pin in pins.items() if name in there and _public(there[name]) != pin]
    wrong = [name for name in other if name in direct]
    if missing or wrong:
        said = [f"{name} is missing" for name in missing] + [f"{name} {there[name]}, pinned is {pins[name]}" for name in wrong]
        return Check(name="packages", status="fail", found=_some(said), advice="run `make setup`, on every node of a cluster")
    if other:
        said = [f"{name} {there[name]}, pinned is {pins[name]}" for name in other]
        return Check(name="packages", status="warn", found=_some(said), advice="untested together; `make setup` brings the pinned")
    return Check(name="packages", status="ok", found=f"{sum(name in there for name in pins)} installed as pinned")


def pinned_versions(constraints: Path) -> dict[str, str]:
    """Name -> version."""
    lines = constraints.read_text(encoding="utf-8").splitlines()
    return {_canonical(name): version for name, _, version in (line.partition("==") for line in lines if "==" in line)}


def direct_dependencies(project: Path) -> list[str]:
    """Names of what the package itself asks for, without its extras."""
    requirements = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    return [_canonical(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]) for requirement in requirements]


def installed_versions() -> dict[str, str]:
    """Name -> version of all that this environment has; of two on the path the first counts, as it does for an import.

    setuptools, once imported, puts the packages that it carries for itself on the path; they are nobody else's.
    """
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions(path=[part for part in sys.path if Path(part).name != "_vendor"]):
        found.setdefault(_canonical(distribution.metadata["Name"] or ""), distribution.version)
    return found


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _public(version: str) -> str:
    """Without the local part: 2.13.0+cpu is a build of 2.13.0."""
    return version.partition("+")[0]


def _some(said: Sequence[str]) -> str:
    return ", ".join(said[:SHOWN]) + (f" and {len(said) - SHOWN} more" if len(said) > SHOWN else "")
