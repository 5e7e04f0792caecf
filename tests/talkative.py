"""A tiny model that answers differently to different prompts, the requests that it is asked, and what transformers says to one."""

from __future__ import annotations

import torch

from mixwright.config import ModelConfig
from mixwright.generate.engine import Request
from mixwright.models import LoadedModel, load_base
from mixwright.prompts import prompt_ids

TEXTS = ("He go home.", "x", "The cats was sleeping on the old mat all day long.", "", "They is late again", "Nobody know why.")
NAMES = ("base", "first", "second")


def talkative(folder, seed=0) -> LoadedModel:
    """The tiny model with layers drawn so wide that its answers hang on the whole prompt; as made, it repeats one token."""
    loaded = load_base(ModelConfig(name=str(folder)), torch.float32)
    torch.manual_seed(seed)
    for parameter in loaded.model.get_decoder().layers.parameters():
        if parameter.dim() == 2:
            parameter.data.normal_(std=0.2)
    return loaded


def requests_for(tokenizer, adapters=("base",), max_new_tokens=12):
    return [
        Request(
            prompt_ids=prompt_ids(tokenizer, "Correct the sentence.", text),
            adapter=adapters[index % len(adapters)],
            max_new_tokens=max_new_tokens,
        )
        for index, text in enumerate(TEXTS)
    ]


def new_tokens(model, request):
    """What transformers' own `generate` adds to one prompt in one batch."""
    ids = torch.tensor([request.prompt_ids])
    output = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=request.max_new_tokens
    )
    return output[0, ids.shape[1] :].tolist()


def asked_alone(model, tokenizer, request):
    return tokenizer.decode(new_tokens(model, request), skip_special_tokens=True)
