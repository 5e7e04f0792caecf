"""What is kept of a trial in progress, and the adapter that comes out of a finished one.

A checkpoint holds the tuned weights, optimiser, scheduler, data position and the random state of every worker. DeepSpeed
writes its own shards; `state.json`, written last by worker 0, names the tag that is whole. A reader that finds no
`state.json`, or one that points to an older tag, never sees half a checkpoint.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixwright.errors import TrainError
from mixwright.models import COMPLETE
from mixwright.records import RungRecord, from_json, to_json, write_text
from mixwright.train import workers

STATE_FILE = "state.json"


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


def read_progress(folder: Path) -> TrialProgress | None:
    """The progress of the last whole checkpoint in `folder`, or None where there is none."""
    try:
        text = (folder / STATE_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return from_json(TrialProgress, json.loads(text))


def save_checkpoint(engine: Any, folder: Path, progress: TrialProgress) -> None:
    """Writes a checkpoint from every worker; older tags go once the new one is whole."""
    import torch

    engine.save_checkpoint(str(folder), tag=progress.tag, exclude_frozen_parameters=True, save_latest=False)
    torch.save(torch.get_rng_state(), folder / progress.tag / f"random_state_{workers.rank()}.pt")
    workers.barrier()
    if workers.rank() == 0:
        write_text(folder / STATE_FILE, json.dumps(to_json(progress)))
        for old in folder.iterdir():
            if old.is_dir() and old.name != progress.tag:
                shutil.rmtree(old)
    workers.barrier()


def load_checkpoint(engine: Any, folder: Path, progress: TrialProgress) -> None:
    """Brings the engine back to `progress`.

    Raises:
        TrainError: the checkpoint was written by another number of workers, or DeepSpeed finds it damaged.
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
    torch.set_rng_state(torch.load(folder / progress.tag / f"random_state_{workers.rank()}.pt"))


def export(model: Any, tokenizer: Any, folder: Path, gathered: Any) -> None:
    """Saves the tuned part of `model`: a PEFT adapter folder, or a whole model folder after full fine-tuning.

    All workers call it; worker 0 writes. `gathered` is the context in which ZeRO-3's shards are whole.

    Raises:
        TrainError: the adapter came out empty or untouched, which is how an ungathered ZeRO-3 shard shows itself.
    """
    with gathered:
        _check_adapter_is_real(model)  # on every worker, so that all of them leave together
        if workers.rank() == 0:
            temporary = folder.with_name(f".{folder.name}.tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            model.save_pretrained(temporary, **_selected(model))
            _flatten_adapter_folder(temporary, model)
            if not hasattr(model, "peft_config"):
                tokenizer.save_pretrained(temporary)
            (temporary / COMPLETE).touch()
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary.rename(folder)
    workers.barrier()


def _selected(model: Any) -> dict[str, Any]:
    return {"selected_adapters": [model.active_adapter]} if hasattr(model, "peft_config") else {}


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
