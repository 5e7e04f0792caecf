"""QLoRA on a GPU with bitsandbytes: a 4-bit base learns an adapter that plain peft loads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mixwright.config import LoraConfig, ModelConfig
from mixwright.models import load_base, with_adapter

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture
def model(tiny_model: Path):
    pytest.importorskip("bitsandbytes")
    base = load_base(ModelConfig(name=str(tiny_model), quantization="nf4"), torch.bfloat16)
    return with_adapter(base.model, LoraConfig(rank=4), name="default", seed=0)


def test_the_frozen_layers_are_four_bits_wide(model) -> None:
    layer = model.get_base_model().model.layers[0].mlp.up_proj.base_layer
    assert type(layer).__name__ == "Linear4bit"
    assert layer.weight.quant_type == "nf4"
    assert not layer.weight.requires_grad


def test_an_adapter_on_four_bits_learns_and_plain_peft_loads_it(model, tiny_model: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    ids = torch.arange(5, 45, device="cuda")[None]
    optimizer = torch.optim.AdamW((parameter for parameter in model.parameters() if parameter.requires_grad), lr=1e-2)
    losses = []
    for _ in range(12):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5

    model.save_pretrained(tmp_path)
    settings = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
    )
    plain = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16, quantization_config=settings, device_map={"": 0})
    again = PeftModel.from_pretrained(plain, tmp_path)
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(
            again(input_ids=ids).logits, model(input_ids=ids).logits, atol=0.05, rtol=0.05, check_dtype=False
        )
