"""Base models and adapters: what is accepted, what is refused in one line, and that a seed fixes the start."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from mixwright.config import LoraConfig, ModelConfig
from mixwright.errors import HardwareError, ModelError
from mixwright.models import base_folder, check_quantization, load_base, load_tokenizer, quantization_settings, with_adapter
from mixwright.prompts import chat_ids, prompt_ids


def copied(model: Path, folder: Path) -> Path:
    return Path(shutil.copytree(model, folder / "copy"))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no folder .*missing; give a model folder, a hub id"):
        base_folder(ModelConfig(name=str(tmp_path / "missing")))


def test_a_folder_without_a_configuration_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no config.json"):
        base_folder(ModelConfig(name=str(tmp_path)))


def test_a_folder_that_holds_another_kind_of_model_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = copied(tiny_model, tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "architectures": ["BertForMaskedLM"]}))
    with pytest.raises(ModelError, match=r"is no causal LM: its architectures are \['BertForMaskedLM'\]"):
        base_folder(ModelConfig(name=str(folder)))


def test_pickled_weights_are_never_read(tiny_model: Path, tmp_path: Path) -> None:
    folder = copied(tiny_model, tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickled weights are not read"):
        base_folder(ModelConfig(name=str(folder)))


def test_code_that_comes_with_a_model_is_not_run(tiny_model: Path, tmp_path: Path) -> None:
    folder = copied(tiny_model, tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"model_type": "strange", "auto_map": {"AutoModelForCausalLM": "evil.Evil", "AutoConfig": "evil.Config"}}
    (folder / "config.json").write_text(json.dumps(settings))
    marker = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w')\n")
    with pytest.raises(ModelError):
        load_base(ModelConfig(name=str(folder)), torch.float32)
    assert not marker.exists()


def prompts(model: Path, template: str) -> list[str]:
    tokenizer = load_tokenizer(ModelConfig(name=str(model), template=template))
    return [tokenizer.decode(prompt_ids(tokenizer, "Mend it.", "he go")), tokenizer.decode(chat_ids(tokenizer, TURN))]


TURN = [{"role": "user", "content": "Mend it.\n\nhe go"}]


def test_a_template_is_the_model_s_own_alpaca_s_or_a_file(tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "bare.jinja"
    file.write_text("{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}answer:")
    assert prompts(tiny_model, "own") == ["<|im_start|>user\nMend it.\n\nhe go<|im_end|>\n<|im_start|>assistant\n"] * 2
    assert prompts(tiny_model, str(file)) == ["user: Mend it.\n\nhe go\nanswer:"] * 2
    alpaca = prompts(tiny_model, "alpaca")
    assert alpaca[0] == alpaca[1]
    assert alpaca[0].endswith("### Instruction:\nMend it.\n\n### Input:\nhe go\n\n### Response:\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read"),
        ("{% for message in messages %}", "is no chat template that works"),
        ("{{ raise_exception('no turns') }}", "is no chat template that works: no turns; mend it"),
        ("{% for message in messages %}{{ message.text }}{% endfor %}", "leaves out what the user says"),
    ],
)
def test_a_template_that_does_not_work_is_named(tiny_model: Path, tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "mine.jinja"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ModelError, match=rf"model\.template: .*{message}") as refused:
        load_tokenizer(ModelConfig(name=str(tiny_model), template=str(file)))
    assert "mine.jinja" in str(refused.value)


def test_an_unknown_target_module_is_named(tiny_model: Path) -> None:
    base = load_base(ModelConfig(name=str(tiny_model)), torch.float32)
    with pytest.raises(ModelError, match=r"lora.target_modules: .*w_pack"):
        with_adapter(base.model, LoraConfig(target_modules=("w_pack",)), name="trial", seed=0)


def test_an_adapter_starts_the_same_on_a_warm_model_as_on_a_new_one(tiny_model: Path) -> None:
    def start(warm: bool) -> dict[str, torch.Tensor]:
        model = load_base(ModelConfig(name=str(tiny_model)), torch.float32).model
        if warm:
            model = with_adapter(model, LoraConfig(rank=8), name="trial", seed=3)
            model.delete_adapter("trial")
            torch.rand(17)
        model = with_adapter(model, LoraConfig(rank=4), name="trial", seed=7)
        return {name: value.detach().clone() for name, value in model.named_parameters() if "lora_" in name}

    new, warm = start(False), start(True)
    assert new.keys() == warm.keys()
    assert all(torch.equal(new[name], warm[name]) for name in new)


def test_four_bits_without_bitsandbytes_or_without_a_gpu_are_refused(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ModelConfig(name=str(tiny_model), quantization="nf4")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        ModelError, match=r"nf4 needs bitsandbytes, .*pip install 'mixwright\[qlora\]', or set `quantization: none`"
    ):
        check_quantization(config)
    check_quantization(ModelConfig(name=str(tiny_model)))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(HardwareError, match=r"nf4 runs on NVIDIA GPUs alone, and this process sees none"):
        load_base(config, torch.bfloat16)


def test_four_bits_are_qloras() -> None:
    settings = quantization_settings(torch.bfloat16)
    assert settings.load_in_4bit
    assert settings.bnb_4bit_quant_type == "nf4"
    assert settings.bnb_4bit_use_double_quant
    assert settings.bnb_4bit_compute_dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("lora", "scale"),
    [
        (LoraConfig(rank=16), 2.0),
        (LoraConfig(rank=64), 2.0),
        (LoraConfig(rank=16, alpha=8), 0.5),
        (LoraConfig(rank=16, use_rslora=True), 2.0),
        (LoraConfig(rank=16, alpha=8, use_rslora=True), 2.0),
        (LoraConfig(rank=64, alpha=8, use_rslora=True), 1.0),
    ],
)
def test_the_update_s_scale_follows_its_formula(tiny_model: Path, lora: LoraConfig, scale: float) -> None:
    model = with_adapter(load_base(ModelConfig(name=str(tiny_model)), torch.float32).model, lora, name="trial", seed=0)
    scales = {module.scaling["trial"] for module in model.modules() if hasattr(module, "lora_A")}
    assert sorted(scales) == pytest.approx([scale])


@pytest.mark.model
def test_the_embedded_model_writes_english() -> None:
    from mixwright.generate.engine import Request
    from mixwright.generate.transformers_engine import TransformersEngine
    from mixwright.prompts import prompt_ids

    base = load_base(ModelConfig(), torch.float32)
    ids = prompt_ids(base.tokenizer, "What is the capital of France?", "")
    (answer,) = TransformersEngine(base.model, base.tokenizer).generate([Request(prompt_ids=ids, max_new_tokens=12)])
    assert "Paris" in answer
