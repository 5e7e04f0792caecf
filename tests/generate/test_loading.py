"""Only whole adapters that fit are loaded; what is wrong with another is said by its folder."""

from __future__ import annotations

import pytest
import torch

from mixwright.config import LoraConfig, ModelConfig
from mixwright.errors import ModelError
from mixwright.generate.engine import Request
from mixwright.generate.loading import adapter_folders, load_engine
from mixwright.models import COMPLETE, load_base, with_adapter
from mixwright.testing import make_tiny_model


@pytest.fixture
def folder(tmp_path):
    make_tiny_model(tmp_path / "model")
    return tmp_path


def base_of(folder):
    return load_base(ModelConfig(name=str(folder / "model")), torch.float32)


def save_lora(folder, name):
    model = with_adapter(base_of(folder).model, LoraConfig(rank=2), name="default", seed=0)
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            parameter.data.fill_(0.3)
    model.save_pretrained(folder / "adapters" / name)
    return folder / "adapters" / name


def answer(engine, adapter):
    return engine.generate([Request(prompt_ids=(5, 6, 7, 8), adapter=adapter, max_new_tokens=6)])[0]


def test_a_folder_counts_once_its_marker_is_there(folder):
    for name in ("done", "writing", ".done.tmp"):
        (folder / "adapters" / name).mkdir(parents=True)
    assert adapter_folders(folder / "adapters") == {}
    (folder / "adapters" / "done" / COMPLETE).touch()
    (folder / "adapters" / ".done.tmp" / COMPLETE).touch()
    assert adapter_folders(folder / "adapters") == {"done": folder / "adapters" / "done"}
    assert adapter_folders(folder / "nowhere") == {}


def test_adapters_and_whole_models_stand_beside_the_base(folder):
    lora = save_lora(folder, "lora")
    whole = make_tiny_model(folder / "whole", seed=5)
    engine = load_engine(base_of(folder), {"lora": lora, "whole": whole})
    assert answer(engine, "base") == answer(load_engine(base_of(folder), {}), "base")
    assert len({answer(engine, name) for name in ("base", "lora")}) == 2
    assert set(engine.tuned) == {"whole"}
    assert not engine.model.training


def test_an_adapter_of_another_model_is_refused_by_its_folder(folder):
    lora = save_lora(folder, "lora")
    config = lora / "adapter_config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"r": 2', '"r": 3'), encoding="utf-8")
    with pytest.raises(ModelError, match=r"adapters/lora: the adapter is damaged or does not fit the base model"):
        load_engine(base_of(folder), {"lora": lora})


def test_a_torn_adapter_is_refused_by_its_folder(folder):
    weights = save_lora(folder, "lora") / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"adapters/lora: the adapter is damaged or does not fit the base model"):
        load_engine(base_of(folder), {"lora": weights.parent})


def test_pickled_weights_are_not_read(folder):
    lora = save_lora(folder, "lora")
    (lora / "adapter_model.safetensors").rename(lora / "adapter_model.bin")
    with pytest.raises(ModelError, match="pickled adapters are not read"):
        load_engine(base_of(folder), {"lora": lora})


def test_a_folder_without_an_adapter_and_a_name_that_cannot_be_are_refused(folder):
    (folder / "empty").mkdir()
    with pytest.raises(ModelError, match="holds neither"):
        load_engine(base_of(folder), {"empty": folder / "empty"})
    for name in ("base", "v1.2"):
        with pytest.raises(ModelError, match=f"cannot be named '{name}'"):
            load_engine(base_of(folder), {name: folder / "empty"})
