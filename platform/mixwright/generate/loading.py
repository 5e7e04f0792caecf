"""From a folder of adapters to an engine that holds them all beside one base model.

What comes in: a loaded base model and `adapters/NAME/` folders. What goes out: a `TransformersEngine`. A folder counts only
once its completion marker is there, so that an adapter which is still being written is never served.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixwright.config import ModelConfig
from mixwright.errors import ModelError
from mixwright.generate.transformers_engine import TransformersEngine
from mixwright.models import ADAPTER_CONFIG, COMPLETE, LoadedModel, load_base, with_saved_adapter
from mixwright.records import BASE

logger = logging.getLogger(__name__)


def adapter_folders(folder: Path) -> dict[str, Path]:
    """Complete adapters in `folder` by name, sorted; empty where the folder is not there."""
    return {marker.parent.name: marker.parent for marker in sorted(folder.glob(f"*/{COMPLETE}")) if marker.parent.name[0] != "."}


def load_engine(base: LoadedModel, adapters: Mapping[str, Path], *, batch_size: int = 16) -> TransformersEngine:
    """An engine that answers for `base` and each of `adapters`: PEFT adapters, or whole models from full fine-tuning.

    Args:
        base: is wrapped where there are PEFT adapters; do not use it for anything else afterwards.

    Raises:
        ModelError: a folder holds neither, or does not fit the base model.
    """
    model: Any = base.model
    tuned: dict[str, Any] = {}
    for name, folder in adapters.items():
        _check_name(name, folder)
        if is_whole_model(folder):
            tuned[name] = load_whole_model(folder, model)
        else:
            model = with_saved_adapter(model, folder, name=name)
        logger.info("loaded adapter %s", name)
    model.eval()
    return TransformersEngine(model, base.tokenizer, batch_size=batch_size, tuned=tuned)


def is_whole_model(folder: Path) -> bool:
    """Whether a complete folder holds a model from full fine-tuning, and no PEFT adapter.

    Raises:
        ModelError: it holds neither.
    """
    if (folder / ADAPTER_CONFIG).exists():
        return False
    if (folder / "config.json").exists():
        return True
    raise ModelError(f"{folder}: holds neither {ADAPTER_CONFIG} nor config.json, so it is no adapter; remove the folder")


def load_whole_model(folder: Path, like: Any) -> Any:
    """A model from full fine-tuning, in the dtype and on the device of `like`.

    Raises:
        ModelError: it cannot be loaded.
    """
    return load_base(ModelConfig(name=str(folder.resolve())), like.dtype).model.to(like.device)


def _check_name(name: str, folder: Path) -> None:
    if name == BASE or "." in name:
        raise ModelError(f"{folder}: an adapter cannot be named '{name}'; rename the folder without dots, and not to {BASE}")
