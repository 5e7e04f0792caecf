"""The floating-point work that a training step asks for, counted from the model's own shapes.

What comes in: a model as it is tuned. What goes out: `ModelFlops`, which gives the work of a step from its rows' lengths. The
formula is that of model FLOPs utilisation (MFU; Chowdhery et al. 2022, PaLM, appendix B): with N matrix parameters, L layers,
H heads of width Q and rows of T tokens, forward and backward take

    6 N + 12 L H Q T    a token where everything is tuned,
    4 N + 12 L H Q T    a token where the base is frozen (LoRA): a weight that is not learned needs no gradient, which saves one
                        of its three products; the adapter's own matrices still take all three, 6 a parameter.

Work that is done twice (activation checkpointing) or for nothing (padding) does not count. Three things differ from the paper, all
downwards: the output matrix is counted at learned positions alone, since no other needs its logits, and T is each row's own
length, since rows do not look at one another. A prefix that rows of a pass share is computed, and counted, once. Like the paper we
count scores in full and not only below the diagonal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mixwright.llama import head_width
from mixwright.models import causal_lm

FROZEN, LEARNED = 4, 6
"""Operations a token for each parameter of a matrix, forward and backward together."""
ATTENTION = 12
"""Operations for each layer, each unit of width and each pair of tokens of a row."""

UTILISATION = 0.5
"""Share of the measured peak that a step is taken to reach, for estimates: `fraction_of_matmul_limit` of benchmarks/README.md."""


@dataclass(frozen=True, kw_only=True)
class ModelFlops:
    """Work by what causes it."""

    a_token: float
    """Matrices of the layers."""
    a_learned_token: float
    """The output matrix."""
    a_pair: float
    """Attention: a row of T tokens has T x T pairs."""

    def of_step(self, lengths: Sequence[int], *, computed: float, learned: int) -> float:
        """The work of one step over all workers.

        Args:
            lengths: of the step's rows, in tokens, without padding.
            computed: tokens that have to go through the layers, at most the sum of `lengths`.
            learned: response tokens of the step.
        """
        pairs = sum(length * length for length in lengths)
        return self.a_token * computed + self.a_learned_token * learned + self.a_pair * pairs


def model_flops(model: Any) -> ModelFlops:
    """The work of `model`, plain or PEFT, as its parameters are frozen or learned now.

    Counted from widths and not from elements: under ZeRO-3 a worker holds none of a matrix, and in 4 bits a fraction.
    """
    from torch import nn

    causal = causal_lm(model)
    output = causal.get_output_embeddings()
    inside = [module for module in causal.modules() if isinstance(module, nn.Linear) and module is not output]
    settings = causal.config
    heads = settings.num_attention_heads
    return ModelFlops(
        a_token=sum(map(_of_matrix, inside)),
        a_learned_token=_of_matrix(output),
        a_pair=ATTENTION * settings.num_hidden_layers * heads * head_width(settings),
    )


def _of_matrix(linear: Any) -> float:
    return float(linear.in_features * linear.out_features * (LEARNED if linear.weight.requires_grad else FROZEN))
