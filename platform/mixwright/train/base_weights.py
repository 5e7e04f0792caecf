"""The way back to the base after full fine-tuning: its weights, read again from memory-mapped safetensors.

What comes in: the base model's configuration, then a model whose weights have been trained. What goes out: the same model with
the weights that it was loaded with, bit for bit, whatever ZeRO has sharded. Nothing is held in between but the files' index.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from mixwright import models
from mixwright.config import ModelConfig
from mixwright.errors import ModelError
from mixwright.train import workers

INDEX_FILE, SINGLE_FILE = "model.safetensors.index.json", "model.safetensors"


class BaseWeights:
    """Where each tensor of a base model stands on disk."""

    def __init__(self, config: ModelConfig) -> None:
        self._folder = _local_folder(config)
        self._file_of = _files_by_tensor(self._folder)

    def restore(self, model: Any) -> None:
        """Writes the base's weights into `model`, converted to the type that it runs in. All workers call it together.

        Tied weights are one parameter and are written once.

        Raises:
            ModelError: the files lack one of the model's weights.
        """
        import torch
        from safetensors import safe_open

        opened: dict[str, Any] = {}
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name not in self._file_of:
                    raise ModelError(f"model: {self._folder} has no tensor {name}, so the base cannot be restored between trials")
                file = self._file_of[name]
                if file not in opened:
                    opened[file] = safe_open(self._folder / file, framework="pt")
                with _whole(parameter):
                    if not _is_sharded(parameter) or workers.rank() == 0:
                        parameter.data.copy_(opened[file].get_tensor(name))


def _is_sharded(parameter: Any) -> bool:
    return hasattr(parameter, "ds_id")


def _whole(parameter: Any) -> AbstractContextManager[Any]:
    """A context in which the parameter can be written: under ZeRO-3 worker 0 writes, and on leaving each worker gets its shard."""
    if not _is_sharded(parameter):
        return nullcontext()
    import deepspeed

    return deepspeed.zero.GatheredParameters([parameter], modifier_rank=0)  # type: ignore[no-any-return]


def _local_folder(config: ModelConfig) -> Path:
    """The folder that holds the files: itself, or the local snapshot of a hub id."""
    source = models.base_folder(config)
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download

    patterns = ["*.safetensors", "*.safetensors.index.json"]
    return Path(snapshot_download(source, revision=config.revision, allow_patterns=patterns, local_files_only=True))


def _files_by_tensor(folder: Path) -> dict[str, str]:
    """Name of each tensor -> the file that holds it."""
    from safetensors import safe_open

    index = folder / INDEX_FILE
    if index.exists():
        files: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return files
    with safe_open(folder / SINGLE_FILE, framework="pt") as tensors:
        return dict.fromkeys(tensors.keys(), SINGLE_FILE)
