"""What vLLM would say to an adapter, told without it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from mixwright.config import LoraConfig, ModelConfig
from mixwright.errors import ModelError
from mixwright.models import load_base, with_adapter
from mixwright.store.vllm import vllm_fit

WEIGHTS = "adapter_model.safetensors"


def save(tiny_model: Path, folder: Path, lora: LoraConfig) -> Path:
    model = with_adapter(load_base(ModelConfig(name=str(tiny_model)), torch.float32).model, lora, name="default", seed=0)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tiny_model, tmp_path_factory.mktemp("adapter"), LoraConfig(rank=12))


@pytest.mark.parametrize(("rank", "limit"), [(1, 8), (8, 8), (12, 16), (257, 320), (512, 512)])
def test_the_smallest_legal_limit_that_admits_the_rank_is_named(tiny_model: Path, tmp_path: Path, rank: int, limit: int) -> None:
    lora = LoraConfig(rank=rank, target_modules=("q_proj",), use_rslora=rank == 12)
    fit = vllm_fit(save(tiny_model, tmp_path, lora))
    assert (fit.problems, fit.max_lora_rank) == ((), limit)


def test_dora_is_named_with_the_way_out(tiny_model: Path, tmp_path: Path) -> None:
    fit = vllm_fit(save(tiny_model, tmp_path, LoraConfig(rank=8, use_dora=True)))
    assert any("use_dora is not supported; merge the adapter into its base" in problem for problem in fit.problems)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"r": 1024}, "r must be a whole number from 1 to 512, got 1024"),
        ({"r": 16}, "which is not that of rank 16"),
        ({"bias": "all"}, "bias must be none, got all"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save must be empty, got ['lm_head']"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern must be empty"),
        ({"lora_alpha": None}, "lora_alpha must be a number, got None"),
        ({"target_modules": []}, "target_modules must be a list of names, got []"),
        ({"peft_type": "IA3"}, "peft_type must be LORA, got IA3"),
    ],
)
def test_a_setting_that_vllm_refuses_or_ignores_is_named(adapter: Path, tmp_path: Path, change: dict, problem: str) -> None:
    folder = Path(shutil.copytree(adapter, tmp_path / "copy"))
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | change))
    assert any(problem in found for found in vllm_fit(folder).problems)


def test_tensors_that_are_no_whole_pair_are_named(adapter: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(adapter, tmp_path / "copy"))
    tensors = safetensors.torch.load_file(folder / WEIGHTS)
    names = sorted(name for name in tensors if "lora_B" in name)
    del tensors[names[0]]
    tensors[names[1]] = torch.zeros(0, 12)
    tensors[names[2]] = tensors[names[2]].double()
    tensors["base_model.model.model.embed_tokens.weight"] = torch.zeros(2, 2)
    safetensors.torch.save_file(tensors, folder / WEIGHTS)
    problems = vllm_fit(folder).problems
    assert len(problems) == 4
    assert f"{names[0].replace('lora_B', 'lora_A')} stands without {names[0]}" in problems
    assert f"{names[1]} has the shape [0, 12], which is not that of rank 12" in problems
    assert f"{names[2]} is F64; it must be one of F32, F16, BF16" in problems
    assert "base_model.model.model.embed_tokens.weight is no matrix of a LoRA pair" in problems


def test_a_folder_that_holds_no_adapter_is_refused(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no readable adapter_config\.json"):
        vllm_fit(tmp_path)
    folder = Path(shutil.copytree(adapter, tmp_path / "copy"))
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:50])
    with pytest.raises(ModelError, match=r"adapter_model.safetensors cannot be read"):
        vllm_fit(folder)
