"""Whether vLLM would serve an adapter folder, and with which `--max-lora-rank`; vLLM itself is not needed for the answer.

What comes in: a folder in PEFT's format. What goes out: a `VllmFit`. The rules are those that vLLM checks when it loads an adapter
(its `config/lora.py` and `lora/peft_helper.py`, and the names it takes from the weights' file); only the file's header is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixwright.errors import ModelError
from mixwright.models import ADAPTER_CONFIG, ADAPTER_WEIGHTS

MAX_LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Values that every version of vLLM takes for `--max-lora-rank`. An adapter's own rank may be any up to that."""
DTYPES = ("F32", "F16", "BF16")
PREFIX, INNER, OUTER = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True, kw_only=True)
class VllmFit:
    """What vLLM would say to an adapter."""

    problems: tuple[str, ...]
    """Why it would refuse it, or serve something else; empty where it would not."""
    max_lora_rank: int | None
    """The smallest `--max-lora-rank` that admits it; None where there is none."""


def vllm_fit(folder: Path) -> VllmFit:
    """Reads an adapter's settings and the header of its weights.

    Raises:
        ModelError: the folder holds no adapter, or a file of it cannot be read.
    """
    try:
        settings = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: has no readable {ADAPTER_CONFIG}: {error}; give the folder of an adapter") from None
    rank = settings.get("r")
    legal = [limit for limit in MAX_LORA_RANKS if isinstance(rank, int) and 0 < rank <= limit]
    problems = [*_settings_problems(settings, has_rank=bool(legal)), *_weights_problems(_header(folder), rank)]
    return VllmFit(problems=tuple(problems), max_lora_rank=legal[0] if legal else None)


def _settings_problems(settings: Mapping[str, Any], *, has_rank: bool) -> Iterator[str]:
    if settings.get("peft_type") != "LORA":
        yield f"peft_type must be LORA, got {settings.get('peft_type')}"
    if not has_rank:
        yield f"r must be a whole number from 1 to {MAX_LORA_RANKS[-1]}, got {settings.get('r')!r}"
    if not isinstance(settings.get("lora_alpha"), int | float):
        yield f"lora_alpha must be a number, got {settings.get('lora_alpha')!r}"
    if not (isinstance(settings.get("target_modules"), list | str) and settings["target_modules"]):
        yield f"target_modules must be a list of names, got {settings.get('target_modules')!r}"
    if settings.get("use_dora"):
        yield "use_dora is not supported; merge the adapter into its base (PEFT's merge_and_unload) and serve the model"
    if settings.get("bias", "none") != "none":
        yield f"bias must be none, got {settings['bias']}"
    for key in ("modules_to_save", "trainable_token_indices", "rank_pattern", "alpha_pattern", "layer_replication"):
        if settings.get(key):
            yield f"{key} must be empty, got {settings[key]}"


def _header(folder: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and dtype of every tensor, by name."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping, it only looks like one
            return {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder}: {ADAPTER_WEIGHTS} cannot be read: {error}; save the adapter again, as safetensors") from None


def _weights_problems(header: Mapping[str, tuple[tuple[int, ...], str]], rank: Any) -> Iterator[str]:
    if not header:
        yield f"{ADAPTER_WEIGHTS} holds no tensor"
    for name, (shape, dtype) in sorted(header.items()):
        if not (name.startswith(PREFIX) and name.endswith((INNER, OUTER))):
            yield f"{name} is no matrix of a LoRA pair"
            continue
        partner = name.replace(INNER, OUTER) if name.endswith(INNER) else name.replace(OUTER, INNER)
        if partner not in header:
            yield f"{name} stands without {partner}"
        if len(shape) != 2 or 0 in shape or shape[0 if name.endswith(INNER) else 1] != rank:
            yield f"{name} has the shape {list(shape)}, which is not that of rank {rank}"
        if dtype not in DTYPES:
            yield f"{name} is {dtype}; it must be one of {', '.join(DTYPES)}"
