"""The rooms of the project: who may stand where, and that the interface that README states is there."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fastapi.routing import APIRoute
from serve.front import Front, LocalBackend, make_app

from mixwright.config import SweepConfig, load_config
from mixwright.scenarios import load_scenario
from mixwright.settings import validate

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PLATFORM_FILES = sorted((ROOT / "platform").rglob("*.py"))
SEARCH_SPACES = sorted((ROOT / "search_spaces").glob("*.yaml"))

LONGEST_FILE_LINES = 600

CALLS = (
    "make demo",
    "make test",
    "python jobs/sweep.py SPACE.yaml [--run-dir DIR] [--set key=value ...] [--plan] [--resume]",
    "ray job submit --runtime-env runtime_env.yaml -- python jobs/sweep.py SPACE.yaml",
    "python jobs/batch_evaluate.py --url URL --adapter NAME --tasks all --split dev --out DIR",
    "python jobs/batch_evaluate.py --openai-url URL --openai-model NAME [--shots K] [--prices FILE] --run-dir DIR --out DIR",
    "python jobs/write_report.py RUN_DIR [RUN_DIR ...] [--out DIR]",
    "python jobs/doctor.py [--space SPACE.yaml] [--set key=value ...] [--run-dir DIR] [--no-ray] [--json]",
    "serve run serve/config.yaml",
)
ROUTES = (
    "GET /healthz",
    "GET /v1/models",
    "POST /v1/rewrite",
    "POST /v1/nll",
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/evaluations",
    "GET /v1/evaluations/ID",
    "GET /",
)


def interface_table() -> dict[str, str]:
    """README's interface tables: first cell without its backticks -> second cell."""
    section = README.read_text(encoding="utf-8").split("## The interface")[1].split("\n## ")[0]
    return {match[1]: match[2] for match in re.finditer(r"^\| `([^`]+)` \| (.+) \|$", section, flags=re.MULTILINE)}


def served_routes() -> set[str]:
    """`METHOD /path` of every route that the endpoint has; a path's parameter is written as ID."""
    app = make_app(LocalBackend.__new__(LocalBackend), Front(model="", adapters=(), scenario=load_scenario("writing")))
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    return {f"{method} {re.sub(r'{[^}]+}', 'ID', route.path)}" for route in routes for method in route.methods}


def help_of(job: Path) -> str:
    result = subprocess.run([sys.executable, str(job), "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_source_root_is_no_package_so_that_platform_stays_the_standard_librarys() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()
    command = "import platform, sysconfig; print(platform.__file__.startswith(sysconfig.get_path('stdlib')))"
    found = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "True\n"


def test_every_folder_of_the_package_is_a_package_with_a_docstring() -> None:
    folders = {path.parent for path in PLATFORM_FILES}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []
    assert [path.name for path in PLATFORM_FILES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))] == []


def test_no_file_of_the_package_is_too_long_to_read() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in PLATFORM_FILES}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE_LINES} == {}


def test_the_package_logs_and_never_prints() -> None:
    printing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in PLATFORM_FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert printing == []


def test_no_job_hides_a_library_of_its_name() -> None:
    libraries = {"datasets", "evaluate", "optuna", "peft", "ray", "serve", "spacy", "torch", "transformers", "tune"}
    names = {path.stem for path in (ROOT / "jobs").glob("*.py")}
    assert names & (libraries | set(sys.stdlib_module_names)) == set()


@pytest.mark.parametrize("entry", [*CALLS, *ROUTES])
def test_readme_states_the_interface(entry: str) -> None:
    assert entry in interface_table()


@pytest.mark.parametrize("target", ["help", "setup", "demo", "test", "doctor", "check", "clean"])
def test_make_has_the_stated_targets(target: str) -> None:
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, check=True)


@pytest.mark.parametrize("call", [call for call in CALLS if call.startswith("python jobs/")])
def test_jobs_take_the_stated_options(call: str) -> None:
    known = help_of(ROOT / call.split()[1])
    assert [flag for flag in re.findall(r"--[a-z-]+", call) if flag not in known] == []


def test_every_job_explains_itself() -> None:
    jobs = sorted((ROOT / "jobs").glob("*.py"))
    assert {"sweep.py", "prepare_data.py", "batch_evaluate.py", "write_report.py"} <= {job.name for job in jobs}
    for job in jobs:
        assert "usage:" in help_of(job)


def test_the_serve_file_names_an_application_that_is_there() -> None:
    config = yaml.safe_load((ROOT / "serve" / "config.yaml").read_text(encoding="utf-8"))
    for application in config["applications"]:
        module, _, attribute = application["import_path"].partition(":")
        tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
        assert attribute in functions | {target.id for target in targets if isinstance(target, ast.Name)}


@pytest.mark.parametrize("route", ROUTES)
def test_readme_says_planned_of_exactly_the_routes_that_are_not_served(route: str) -> None:
    assert interface_table()[route].startswith("planned") != (route in served_routes())


def test_readmes_search_space_is_valid() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```", README.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    tree = {key: value for block in blocks for key, value in yaml.safe_load(block).items()}
    assert validate(SweepConfig, tree, where="README.md").search.parameters


def test_search_spaces_are_shipped() -> None:
    assert {"demo", "real_small"} <= {path.stem for path in SEARCH_SPACES}


@pytest.mark.parametrize("path", SEARCH_SPACES, ids=lambda path: path.stem)
def test_every_search_space_loads_and_says_what_it_answers_and_how_to_launch_it(path: Path) -> None:
    opening = "".join(line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.startswith("#"))
    assert path.read_text(encoding="utf-8").startswith("# ")
    assert f"search_spaces/{path.name}" in opening
    config = load_config(path)
    assert config.question
    assert config.name.replace("_", "-") == path.stem.replace("_", "-")
