"""Benchmarks as a user starts them, and their pieces as a module, for the tests of this room."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]


def started(name: str, *options: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`python benchmarks/NAME.py OPTIONS`, once it has ended."""
    paths = [str(ROOT / "platform"), os.environ.get("PYTHONPATH", "")]
    whole = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **(environment or {})}
    command = [sys.executable, f"benchmarks/{name}.py", *options]
    return subprocess.run(command, cwd=ROOT, env=whole, capture_output=True, text=True, check=False)


def quick_run(name: str) -> dict[str, Any]:
    """What the quick run prints as JSON."""
    done = started(name, "--quick", "--json")
    assert done.returncode == 0, done.stderr[-3000:]
    printed: dict[str, Any] = json.loads(done.stdout)
    assert set(printed) == {"environment", "figures", "rows"}
    return printed


def imported(name: str) -> ModuleType:
    """`benchmarks/NAME.py` as a module of its own name."""
    sys.path.insert(0, str(ROOT / "benchmarks"))  # for `common`, which stands beside it
    try:
        spec = importlib.util.spec_from_file_location(f"{name}_benchmark", ROOT / "benchmarks" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[f"{name}_benchmark"] = module  # dataclasses look their module up there
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module
