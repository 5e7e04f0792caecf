"""What is kept of a trial in progress, and the adapter that comes out of a finished one.

A checkpoint holds the tuned weights, optimiser, scheduler, data position and the random state of every worker. The newest is
kept and the one before it, each in a folder of its own; DeepSpeed writes the shards, and `state.json`, written last by worker 0,
names every file with its size and digest. A folder without it, or one whose files are not what it says, is never read:
the generation before takes its place, with the rungs that were known by then.

A disk that is full meets some workers and not others. They tell one another before any goes on, so that all of them leave the
trial together and none waits for a neighbour that is gone. The same holds for a store that is away, where the run is on object
storage: there each worker publishes the files that it wrote, and worker 0 `state.json` once all have.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixwright.errors import DataError, StoreError, TrainError
from mixwright.models import COMPLETE
from mixwright.records import RungRecord, from_json, to_json, write_text
from mixwright.store import remote
from mixwright.store.remote import SavedFile, described, digest
from mixwright.train import workers

logger = logging.getLogger(__name__)

STATE_FILE = "state.json"
GENERATIONS = 2
"""Checkpoints kept of a trial in progress."""
RETRY_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
DISK_IS_FULL = "the disk is full"
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL_DISK_IN_WORDS = (*(os.strerror(number) for number in FULL_DISK), "inline_container", "PytorchStreamWriter")
"""What torch's and safetensors' writers say of it; torch's zip writer knows only that less was written than it gave."""


@dataclass(frozen=True, kw_only=True)
class TrialProgress:
    """Where a trial stands; everything but the tensors."""

    trial_id: str
    world_size: int
    step: int
    examples: int
    tokens: int
    seconds: float
    rungs: tuple[RungRecord, ...] = ()
    tag: str = ""
    """Name of the checkpoint's folder."""
    loss_sum: float = 0.0
    learned: int = 0
    """Response tokens since the last rung, and their losses added up."""


@dataclass(frozen=True, kw_only=True)
class SavedState:
    """The content of `state.json`."""

    progress: TrialProgress
    files: tuple[SavedFile, ...]


def read_progress(folder: Path) -> TrialProgress | None:
    """The progress of the newest whole checkpoint in `folder`, or None where there is none. All workers call it together.

    Each worker reads its share of the files, and all go by what any of them found. What is passed over is said.

    Raises:
        StoreError: the run is on object storage that does not answer.
    """
    with_store(folder, lambda: _fetch_generations(folder))
    damaged: list[str] = []
    generations: list[SavedState] = workers.gather_objects(_generations(folder) if workers.rank() == 0 else [])[0]
    for state in generations:
        problems = workers.gather_objects(_problem(folder / state.progress.tag, state))
        problem = next((problem for problem in problems if problem), "")
        if not problem:
            _say_damaged(folder, damaged, f"going on from step {state.progress.step}")
            return state.progress
        damaged.append(f"{state.progress.tag}: {problem}")
    _say_damaged(folder, damaged, "training starts from the beginning")
    return None


def _fetch_generations(folder: Path) -> None:
    """Brings the checkpoints that are published to this node, and takes away any other: it is of a run that was given up."""
    there = remote.mirror_of(folder)
    assert there is not None
    published = [name for name in there.filled(folder) if remote.fetch_folder(folder / name, STATE_FILE)]
    for item in folder.iterdir() if folder.is_dir() else ():
        if item.name not in published:
            shutil.rmtree(item, ignore_errors=True)


def _generations(folder: Path) -> list[SavedState]:
    """Checkpoints that were written to their end, the newest first."""
    states = []
    for path in folder.glob(f"*/{STATE_FILE}"):
        try:
            states.append(from_json(SavedState, json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, DataError) as error:
            logger.warning("%s: passed over, since it cannot be read: %s", path, error)
    return sorted(states, key=lambda state: (state.progress.step, len(state.progress.rungs)), reverse=True)


def _problem(folder: Path, state: SavedState) -> str:
    """What is wrong with this worker's share of the files; empty where nothing is. Sizes come first, since they cost nothing."""
    own = state.files[workers.rank() :: workers.world_size()]
    try:
        for file in own:
            if (size := (folder / file.name).stat().st_size) != file.size:
                return f"{file.name} has {size:,} bytes instead of {file.size:,}"
        for file in own:
            if digest(folder / file.name) != file.digest:
                return f"{file.name} is not what was written"
    except OSError as error:
        return f"{file.name}: {error.strerror}"
    return ""


def _say_damaged(folder: Path, damaged: Sequence[str], then: str) -> None:
    if damaged and workers.rank() == 0:
        logger.warning("%s: damaged: %s; %s", folder, "; ".join(damaged), then)


def save_checkpoint(engine: Any, folder: Path, progress: TrialProgress) -> None:
    """Writes a checkpoint from every worker; of the older ones the last stays.

    Raises:
        TrainError: it could not be written whole, on all workers alike; what there was of it is removed, older ones stay.
        StoreError: the run is on object storage that does not answer.
    """
    target = folder / progress.tag
    on_first_worker(lambda: shutil.rmtree(target, ignore_errors=True), target)
    with_store(target, lambda: _make_empty(target))  # each node has a folder of its own
    try:
        files, problem = _write_shards(engine, folder, progress)
        _leave_together(problem, target)
        state = SavedState(progress=progress, files=tuple(file for share in workers.gather_objects(files) for file in share))
        with_store(target, lambda: remote.publish(*(target / file.name for file in files)))
        on_first_worker(lambda: write_text(target / STATE_FILE, json.dumps(to_json(state))), target)
        with_store(target, lambda: remote.publish(target / STATE_FILE), on_first=True)
    except TrainError:
        on_first_worker(lambda: shutil.rmtree(target, ignore_errors=True), target)
        raise
    on_first_worker(lambda: _drop_old(folder, progress), folder)
    with_store(folder, lambda: _drop_old_published(folder), on_first=True)


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


def _drop_old_published(folder: Path) -> None:
    there = remote.mirror_of(folder)
    assert there is not None
    for name in there.filled(folder):
        if not (folder / name).exists():
            there.remove(folder / name)


def _write_shards(engine: Any, folder: Path, progress: TrialProgress) -> tuple[list[SavedFile], str]:
    """This worker's files, and what kept it from writing them; empty where nothing did."""
    import torch

    # DeepSpeed leaves out what is frozen, but for the second name of tied weights: an output matrix, half of a small model.
    named = engine.module.named_parameters(remove_duplicate=False)
    writer = _PatientWriter(engine.checkpoint_engine, frozenset(name for name, parameter in named if not parameter.requires_grad))
    engine.checkpoint_engine = writer
    try:
        engine.save_checkpoint(str(folder), tag=progress.tag, exclude_frozen_parameters=True, save_latest=False)
        writer.save(torch.get_rng_state(), str(_random_state(folder / progress.tag)))
    finally:
        engine.checkpoint_engine = writer.inner
    try:
        return [described(path) for path in writer.paths], writer.problem
    except OSError as error:
        return [], writer.problem or str(error)


class _PatientWriter:
    """DeepSpeed's own writer, which keeps a failure to itself until every worker has written.

    DeepSpeed meets its neighbours at barriers while it saves: a worker that raised on the way would let them wait there.

    Args:
        frozen: names of parameters that are left out.
    """

    def __init__(self, inner: Any, frozen: frozenset[str]) -> None:
        self.inner = inner
        self._frozen = frozen
        self.paths: list[Path] = []
        self.problem = ""

    def save(self, state_dict: Any, path: str) -> None:
        self.paths.append(Path(path))
        if isinstance(state_dict, dict) and isinstance(module := state_dict.get("module"), dict):
            state_dict = {**state_dict, "module": {name: value for name, value in module.items() if name not in self._frozen}}
        self._try(lambda: self.inner.save(state_dict, path))

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self._try(lambda: self.inner.makedirs(path, exist_ok=exist_ok))

    def _try(self, write: Callable[[], Any]) -> None:
        self.problem = self.problem or _problem_of(write)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def _random_state(folder: Path) -> Path:
    return folder / f"random_state_{workers.rank()}.pt"


def _drop_old(folder: Path, newest: TrialProgress) -> None:
    """Leaves the newest checkpoint and the last whole one before it; later ones were passed over when the trial went on."""
    kept = [state.progress.tag for state in _generations(folder) if state.progress.step <= newest.step][:GENERATIONS]
    for item in folder.iterdir():
        if item.is_dir() and item.name not in kept:
            shutil.rmtree(item)


def load_checkpoint(engine: Any, folder: Path, progress: TrialProgress) -> None:
    """Brings the engine back to `progress`, which `read_progress` found whole.

    Raises:
        TrainError: the checkpoint was written by another number of workers, or does not fit the engine.
    """
    import torch

    if progress.world_size != workers.world_size():
        raise TrainError(
            f"{folder}: the checkpoint was written by {progress.world_size} workers, this trial has {workers.world_size()}; "
            "set cluster.workers back, or remove the folder to train from the start"
        )
    loaded, _ = engine.load_checkpoint(str(folder), tag=progress.tag, load_module_strict=False)
    if loaded is None:
        raise TrainError(f"{folder}/{progress.tag}: not a whole checkpoint; remove the folder to train from the start")
    torch.set_rng_state(torch.load(_random_state(folder / progress.tag)))


def export(model: Any, tokenizer: Any, folder: Path, gathered: Any) -> None:
    """Saves the tuned part of `model`: a PEFT adapter folder, or a whole model folder after full fine-tuning.

    All workers call it; worker 0 writes. `gathered` is the context in which ZeRO-3's shards are whole.

    Raises:
        TrainError: the adapter came out empty or untouched, which is how an ungathered ZeRO-3 shard shows itself, or the disk
            is full; what there was of the folder is removed.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")

    def write() -> None:
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            _write_tuned(model, tokenizer, temporary)
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    with gathered:
        _check_adapter_is_real(model)  # on every worker, so that all of them leave together
        problem = _problem_of(write) if workers.rank() == 0 else ""
    _leave_together(problem, folder)


def _write_tuned(model: Any, tokenizer: Any, folder: Path) -> None:
    folder.mkdir(parents=True)
    if hasattr(model, "peft_config"):
        # The vocabulary never grows here; left to itself, PEFT asks the hub whether it did.
        model.save_pretrained(folder, selected_adapters=[model.active_adapter], save_embedding_layers=False)
        _flatten_adapter_folder(folder, model)
    else:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    (folder / COMPLETE).touch()


def _flatten_adapter_folder(folder: Path, model: Any) -> None:
    """PEFT puts an adapter that is not called `default` into a folder of that name; readers expect it at the top."""
    nested = folder / getattr(model, "active_adapter", "")
    if nested != folder and nested.is_dir():
        for item in nested.iterdir():
            item.rename(folder / item.name)
        nested.rmdir()


def _check_adapter_is_real(model: Any) -> None:
    if not hasattr(model, "peft_config"):
        return
    outer = [parameter for name, parameter in model.named_parameters() if f"lora_B.{model.active_adapter}." in name]
    if not outer or any(parameter.numel() == 0 for parameter in outer):
        raise TrainError("the adapter has no elements to save: its ZeRO-3 shards were not gathered; this is a fault of Mixwright")
    if not any(bool(parameter.any()) for parameter in outer):
        raise TrainError(
            "the adapter did not move from its start (every lora_B is zero); raise train.learning_rate or mixture.size"
        )


class _AwayError(TrainError):
    """The store refused a write, and not since it is full: it may take the next one."""


def patiently(write: Callable[[], None]) -> None:
    """Runs what all workers write together; where the store refuses it, again, after pauses that are the same on all of them.

    Raises:
        TrainError: the disk is full, or the store has refused for `RETRY_PAUSES_S` in all.
    """
    for pause in RETRY_PAUSES_S:
        try:
            return write()
        except _AwayError as error:
            if workers.rank() == 0:
                logger.warning("%s; trying again in %.0f s", error, pause)
            time.sleep(pause)
    return write()


def with_store(folder: Path, work: Callable[[], object], *, on_first: bool = False) -> None:
    """Has every worker, or the first, read or write a run that is on object storage; nothing happens where `folder` is not of one.

    Raises:
        StoreError: the store is away for one of them; on all workers alike.
    """
    if remote.mirror_of(folder) is None:
        return
    cause = ""
    if workers.rank() == 0 or not on_first:
        try:
            work()
        except StoreError as error:
            cause = str(error)
    for found in workers.gather_objects(cause):
        if found:
            raise StoreError(found)


def on_first_worker(write: Callable[[], Any], where: Path) -> None:
    """Runs `write` on worker 0 while the others wait.

    Raises:
        TrainError: the file system refused it; on all workers alike.
    """
    _leave_together(_problem_of(write) if workers.rank() == 0 else "", where)


def _problem_of(write: Callable[[], Any]) -> str:
    """Runs `write` and says what the file system had against it; empty where nothing."""
    from safetensors import SafetensorError

    try:
        write()
    except OSError as error:
        return _full_disk(error.errno, str(error)) or str(error)
    except (RuntimeError, SafetensorError) as error:  # torch's and safetensors' writers say so in words alone
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return _full_disk(None, text) or text
    return ""


def _full_disk(number: int | None, text: str) -> str:
    full = number in FULL_DISK or any(reason in text for reason in FULL_DISK_IN_WORDS)
    return f"{DISK_IS_FULL} ({text}); free space there, or give a --run-dir on another disk" if full else ""


def _leave_together(problem: str, where: Path) -> None:
    """Raises on every worker where any has a problem; also the place where they wait for one another.

    Raises:
        TrainError: with the first worker's problem.
    """
    for rank, found in enumerate(workers.gather_objects(problem)):
        if found:
            kind = TrainError if found.startswith(DISK_IS_FULL) else _AwayError
            raise kind(f"{where}: cannot be written by worker {rank}: {found}")
