"""A Python environment as a node of a cluster has it: all the packages, and not this project."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

RAY = '#!/bin/sh\nexec "$(dirname "$0")/python" -m ray.scripts.scripts "$@"\n'


def make_bare_environment(folder: Path) -> None:
    """Makes an environment that reads the packages of this one, with a `ray` of its own; it may be moved or mounted elsewhere."""
    venv.EnvBuilder(symlinks=True).create(folder)
    library = folder / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    # Python reads no .pth file in a folder that another .pth file names, so an editable install of this project stays behind.
    (library / "packages.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    (folder / "bin" / "ray").write_text(RAY)
    (folder / "bin" / "ray").chmod(0o755)
    for shared in ("bin/ninja", "torch_extensions"):  # what set-up has compiled, so that no test has to
        if (Path(sys.prefix) / shared).exists():
            (folder / shared).symlink_to(Path(sys.prefix) / shared)
    call = [str(folder / "bin" / "python"), "-c", "import ray, mixwright"]
    result = subprocess.run(call, capture_output=True, text=True, check=False, env=outside_environment(folder))
    assert "No module named 'mixwright'" in result.stderr, f"{folder} must have Ray and lack this project: {result.stderr}"


def outside_environment(folder: Path, **more: str) -> dict[str, str]:
    """Variables for a process of that environment, with no path of this process's to import from."""
    left_out = ("PYTHONPATH", "VIRTUAL_ENV", "RAY_ADDRESS")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "PATH": f"{folder}/bin{os.pathsep}{os.environ['PATH']}", "RAY_USAGE_STATS_ENABLED": "0", **more}
