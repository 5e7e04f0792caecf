"""Runs lm-evaluation-harness as a user does, from a command line and without a network."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent

needs_lm_eval = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None, reason="lm_eval is not installed: pip install -e '.[harness]'"
)


@dataclass(frozen=True, kw_only=True)
class HarnessRun:
    """What one call wrote."""

    results: dict[str, dict[str, Any]]
    """Task or group -> metric -> value."""
    samples: list[dict[str, Any]]
    """Every question with its answers, where they were logged."""


def lm_eval(*arguments: str, out: Path) -> HarnessRun:
    """`lm_eval run` with these arguments."""
    command = [sys.executable, "-m", "lm_eval", "run", *arguments, "--output_path", str(out)]
    environment = os.environ | {"HF_HOME": str(out / "hub"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (path,) = out.rglob("results_*.json")
    lines = [line for file in sorted(out.rglob("samples_*.jsonl")) for line in file.read_text(encoding="utf-8").splitlines()]
    return HarnessRun(results=json.loads(path.read_text(encoding="utf-8"))["results"], samples=[json.loads(line) for line in lines])
