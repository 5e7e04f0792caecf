"""The machine: processor, GPUs, compiled operators, space on disks, and whether a folder can hold a run."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mixwright.doctor.results import Check

COLLECTIVES = "deepspeed_shm_comm"
MOST_USED = 0.95
"""Beyond it Ray writes no object to a disk."""


def processor(described: Mapping[str, Any], *, has_bf16: bool) -> Check:
    """Cores and memory, and whether bf16 is worth anything on them.

    Args:
        described: as `environment.describe` gives it.
    """
    found = f"{described['cores']} cores, {described['memory_gib']} GiB, {described['processor']}"
    if has_bf16:
        return Check(name="processor", status="ok", found=f"{found}, with bf16 instructions")
    advice = "no bf16 instructions: `train.precision: auto` comes to fp32 here, and GPUs are not concerned"
    return Check(name="processor", status="warn", found=found, advice=advice)


def processor_here(described: Mapping[str, Any]) -> Check:
    """The same of this machine."""
    from mixwright import native

    return processor(described, has_bf16=native.has_bf16())


def gpus(listed: Sequence[str], seen: Sequence[str], *, build: str, nccl: str, wanted: int = 0) -> Check:
    """Whether torch sees what the driver has.

    Args:
        listed: what nvidia-smi says, a line a GPU.
        seen: names of torch's devices.
        build: torch's version.
        nccl: NCCL's version; empty where torch has none.
        wanted: GPUs that a worker on this machine asks for.
    """
    if seen and nccl:
        return Check(name="gpus", status="ok", found=f"{len(seen)} ({', '.join(sorted(set(seen)))}), torch {build}, NCCL {nccl}")
    if seen:
        advice = "lanes of several GPUs need NCCL: install torch's CUDA build for Linux"
        return Check(name="gpus", status="warn", found=f"{len(seen)}, but torch {build} has no NCCL", advice=advice)
    if listed:
        advice = (
            "a CPU build: pip install --force-reinstall -c constraints.txt torch"
            if "+cpu" in build
            else "the driver is older than torch's CUDA, or CUDA_VISIBLE_DEVICES hides them"
        )
        return Check(name="gpus", status="fail", found=f"nvidia-smi lists {len(listed)}, torch {build} sees none", advice=advice)
    if wanted:
        advice = "set cluster.address to a cluster that has some, or `cluster.gpus_per_worker: 0`"
        return Check(name="gpus", status="fail", found=f"none, and a worker asks for {wanted}", advice=advice)
    return Check(name="gpus", status="ok", found=f"none (torch {build}); training runs on processors")


def gpus_here(described: Mapping[str, Any], wanted: int = 0) -> Check:
    """The same of this machine."""
    import torch

    seen = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    nccl = ".".join(map(str, torch.cuda.nccl.version())) if seen and torch.distributed.is_nccl_available() else ""
    return gpus(described["gpus"], seen, build=torch.__version__, nccl=nccl, wanted=wanted)


def operators() -> Check:
    """Whether what trials run on processors is compiled; GPUs need none of it."""
    import torch

    from mixwright import native

    if torch.cuda.is_available():
        return Check(name="operators", status="ok", found="GPUs bring their own")
    native.use_own_compiler()
    folder = Path(os.environ.get(native.CACHE_VARIABLE, "~/.cache/torch_extensions")).expanduser()
    lacking = [] if any(folder.glob(f"**/{COLLECTIVES}.so")) else ["DeepSpeed's collectives"]
    if native.has_instructions() and (cause := native.why_not("fp32", "cpu")):
        lacking.append(f"our own operators ({cause})")
    if not lacking:
        return Check(name="operators", status="ok", found=f"compiled, in {folder}")
    found = f"not in {folder}: {' and '.join(lacking)}"
    if not shutil.which("g++"):
        advice = "there is no g++ to compile them with: install it (Debian: g++ python3.11-dev), then `make setup`"
        return Check(name="operators", status="fail", found=found, advice=advice)
    return Check(name="operators", status="warn", found=found, advice="`make setup` spares the first trial a minute")


def disk(name: str, folder: Path, *, least_gib: float = 1.0, enough_gib: float = 10.0) -> Check:
    """Free space where a folder is, or would be."""
    there = existing(folder)
    usage = shutil.disk_usage(there)
    free, found = usage.free / 2**30, f"{usage.free / 2**30:.1f} GiB free for {folder}"
    if free < least_gib:
        return Check(name=name, status="fail", found=found, advice=f"free some: {least_gib:g} GiB is the least to start with")
    if usage.used / usage.total > MOST_USED:
        advice = f"the disk is more than {MOST_USED:.0%} full, which Ray takes for full: free some"
        return Check(name=name, status="warn", found=found, advice=advice)
    if free < enough_gib:
        return Check(name=name, status="warn", found=found, advice=f"{enough_gib:g} GiB are enough for most sweeps")
    return Check(name=name, status="ok", found=found)


def disks(run_dir: Path) -> Iterator[Check]:
    """Of the run folder, the caches, Ray's temporary folder and shared memory, which containers often have too little of."""
    from mixwright.models import cache_folder

    yield disk("disk: run", run_dir)
    yield disk("disk: cache", cache_folder())
    yield disk("disk: hub", Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser())
    yield disk("disk: ray", Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray")
    yield disk("disk: shm", Path("/dev/shm"), least_gib=0.25, enough_gib=1.0)


def address(place: str) -> Check:
    """Whether a run's address takes a small file and gives it back, from this machine.

    Raises:
        StoreError: the store does not answer, or refuses us.
    """
    from mixwright.store.remote import Mirror

    there, content = Mirror(place.rstrip("/"), patience_s=0.0), os.urandom(16)
    started = time.perf_counter()
    there.publish_bytes(".doctor", content)
    if there.read(".doctor") != content:
        return Check(
            name="store", status="fail", found=f"{place} gives back another content than was put", advice="use another store"
        )
    seconds = time.perf_counter() - started
    return Check(name="store", status="ok", found=f"{place} takes a file and gives it back in {1000 * seconds:.0f} ms")


def store(run_dir: Path) -> Check:
    """Whether a run can be kept there: files written, renamed over one another at once, and locked."""
    there = existing(run_dir)
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=there) as folder:
            problem = _problem_of_store(Path(folder))
    except OSError as error:
        advice = "give a --run-dir that this user can write to, or mount the store"
        return Check(name="store", status="fail", found=f"cannot write to {there}: {error.strerror}", advice=advice)
    if problem:
        return Check(name="store", status="fail", found=f"{there}: {problem}", advice="mount NFS 4, or give another --run-dir")
    return Check(name="store", status="ok", found=f"{there}: written, renamed and locked")


def _problem_of_store(folder: Path) -> str:
    old, new = folder / "old", folder / "new"
    old.write_text("old")
    with new.open("w") as file:
        file.write("new")
        file.flush()
        os.fsync(file.fileno())
    new.replace(old)
    if new.exists() or old.read_text() != "new":
        return "a rename does not take the place of a file"
    try:
        with old.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return f"files cannot be locked ({error.strerror})"
    return ""


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    folder = folder.expanduser().absolute()
    return next(path for path in (folder, *folder.parents) if path.is_dir())
