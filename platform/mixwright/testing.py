"""Shipped fakes: a two-layer random LLaMA with a real tokenizer, for tests that need a model but no language; a reporter that
collects what training says.

Users of the platform can test their own scenarios and spaces with them in seconds.
"""

from __future__ import annotations

from pathlib import Path

from mixwright.records import RungRecord
from mixwright.train.reporter import StepReport

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tiny_model(folder: Path, *, chat_template: bool = True, seed: int = 0, heads: int = 4) -> Path:
    """Saves a random two-layer LLaMA (hidden size 64, byte-level vocabulary of 260) and its tokenizer as a model folder.

    Args:
        heads: of the queries; half as many of keys and values.
    """
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {symbol: index for index, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|im_start|>", "<|im_end|>"]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in specials])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=specials[0], eos_token=specials[1], pad_token=specials[1])  # type: ignore[no-untyped-call]
    if chat_template:
        fast.chat_template = CHAT_TEMPLATE
    config = LlamaConfig(
        vocab_size=260,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


class CollectingReporter:
    """A `Reporter` that keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[StepReport] = []
        self.rungs: list[tuple[str, RungRecord]] = []

    def step(self, report: StepReport) -> None:
        self.steps.append(report)

    def rung(self, trial_id: str, record: RungRecord) -> None:
        self.rungs.append((trial_id, record))
