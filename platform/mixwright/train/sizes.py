"""What a base model weighs, from its config.json alone: parameters, work and memory before anything is loaded.

What comes in: a configuration. What goes out: `ModelSizes`, the work of its tokens (by the formula of flops.py), and the memory
that one worker would need: the plan shows these, and the choices at a run's start hang on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mixwright import models
from mixwright.config import SweepConfig, ends
from mixwright.llama import head_width
from mixwright.train.flops import ATTENTION, FROZEN, LEARNED, ModelFlops
from mixwright.train.hardware import GIB


@dataclass(frozen=True, kw_only=True)
class ModelSizes:
    """Counts of a LLaMA-family model."""

    parameters: int
    matrices: int
    """Parameters of the layers' matrices alone."""
    output: int
    """Of the output matrix, also where it is the embedding once more."""
    hidden: int
    inner: int
    layers: int
    attention_width: int
    """Heads times the width of one."""
    adapter_width: int
    """Parameters that one more rank adds to an adapter on all matrices."""
    widths: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Linear module -> inputs and outputs, in one layer."""


def model_sizes(config: SweepConfig) -> ModelSizes:
    """Counts from the model's config.json; a hub id is asked for that file alone."""
    from transformers import AutoConfig

    return sizes_of(AutoConfig.from_pretrained(models.base_folder(config.model), revision=config.model.revision))


def sizes_of(settings: Any) -> ModelSizes:
    """Counts from what a config.json says, under the names that it has there."""
    hidden, inner, layers = settings.hidden_size, settings.intermediate_size, settings.num_hidden_layers
    heads, groups = settings.num_attention_heads, settings.num_key_value_heads
    width = head_width(settings)
    wide, narrow = heads * width, groups * width
    matrices = layers * (2 * hidden * wide + 2 * hidden * narrow + 3 * hidden * inner)
    output = settings.vocab_size * hidden
    return ModelSizes(
        parameters=matrices + output * (1 if settings.tie_word_embeddings else 2),
        matrices=matrices,
        output=output,
        hidden=hidden,
        inner=inner,
        layers=layers,
        attention_width=wide,
        widths={
            **{"q_proj": (hidden, wide), "k_proj": (hidden, narrow), "v_proj": (hidden, narrow), "o_proj": (wide, hidden)},
            **{"gate_proj": (hidden, inner), "up_proj": (hidden, inner), "down_proj": (inner, hidden)},
        },
        adapter_width=layers * (2 * (hidden + wide) + 2 * (hidden + narrow) + 3 * (hidden + inner)),
    )


def trainable_parameters(config: SweepConfig, sizes: ModelSizes, *, rank: int | None = None) -> int:
    """Of the adapter on the targeted modules of the layers, DoRA's magnitudes included; of the whole model where it is tuned.

    Args:
        rank: in the place of the configuration's.
    """
    if config.model.tuning != "lora":
        return sizes.parameters if config.model.tuning == "full" else 0
    targeted = [width for module, width in sizes.widths.items() if module in config.lora.target_modules]
    magnitudes = sum(outputs for _, outputs in targeted) if config.lora.use_dora else 0
    return sizes.layers * ((rank or config.lora.rank) * sum(map(sum, targeted)) + magnitudes)


def planned_flops(config: SweepConfig, sizes: ModelSizes) -> ModelFlops:
    """The work that `model_flops` will count once the model is there; with LoRA, of an adapter on all matrices."""
    of_base = LEARNED if config.model.tuning == "full" else FROZEN
    adapter = 0 if config.model.tuning == "full" else LEARNED * sizes.adapter_width * config.lora.rank
    return ModelFlops(
        a_token=of_base * sizes.matrices + adapter,
        a_learned_token=of_base * sizes.output,
        a_pair=ATTENTION * sizes.layers * sizes.attention_width,
    )


def training_gib(config: SweepConfig, sizes: ModelSizes, precision: str, *, activation_checkpointing: bool) -> float:
    """Memory of one worker: weights, what is tuned with its optimiser, activations of one micro-batch of the longest rows."""
    width = 2 if precision == "bf16" else 4
    tuned = trainable_parameters(config, sizes, rank=highest_rank(config))
    optimiser = tuned * (width + 4 + 8)  # gradient, fp32 master, two moments
    positions = config.train.micro_batch_size * config.model.max_length
    kept = 2 * sizes.hidden if activation_checkpointing else 12 * sizes.hidden + 4 * sizes.inner
    return (sizes.parameters * width + optimiser + positions * sizes.layers * kept * width) / GIB


def weights_gib(sizes: ModelSizes, precision: str) -> float:
    """Memory of the base model's weights."""
    return sizes.parameters * (2 if precision == "bf16" else 4) / GIB


def prepacked_gib(sizes: ModelSizes) -> float:
    """Memory of the layers' matrices in bf16, laid out twice more."""
    return 2 * sizes.matrices * 2 / GIB


def heaviest(config: SweepConfig) -> SweepConfig:
    """The configuration with that of the models, and ways to tune them, whose training takes the most memory."""
    if len(config.every_model) == 1:
        return config
    each = [config.model_copy(update={"model": model}) for model in config.every_model]
    return max(each, key=lambda one: training_gib(one, model_sizes(one), "bf16", activation_checkpointing=False))


def highest_rank(config: SweepConfig) -> int:
    """The largest rank that a trial may draw."""
    spec = config.search.parameters.get("lora.rank")
    if spec is None:
        return config.lora.rank
    return max(config.lora.rank, *(int(value) for value in ends(spec)))
