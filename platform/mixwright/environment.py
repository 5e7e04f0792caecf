"""Where a run took place: hardware, versions and commit, for result.json and every published figure."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

PACKAGES = ("ray", "torch", "deepspeed", "transformers", "peft", "optuna", "errant", "spacy")


def describe() -> dict[str, Any]:
    """Processor, cores, memory in GiB, accelerators, Python and package versions, and the commit of this checkout."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": _gpus(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("mixwright", *PACKAGES)},
        "commit": commit(),
    }


def commit() -> str:
    """The short commit of the checkout that this file is in, with `-dirty` where tracked files differ; `unknown` elsewhere."""
    folder = Path(__file__).parent
    head = _output(["git", "rev-parse", "--short=12", "HEAD"], folder)
    if not head:
        return "unknown"
    return head + ("-dirty" if _output(["git", "status", "--porcelain", "--untracked-files=no"], folder) else "")


def _output(command: list[str], folder: Path) -> str:
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _gpus() -> list[str]:
    listed = _output(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"], Path.cwd())
    return listed.splitlines()
