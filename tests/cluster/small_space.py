"""A space of seconds: the tiny model, made-up rows of three tasks, and a scenario of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

SCENARIO = {
    "name": "small",
    "tasks": [
        {"name": "clarity", "metric": "sari", "instructions": {"train": ["Make it clear."], "evaluation": ["Say it clearly."]}},
        {"name": "fluency", "metric": "gleu", "instructions": {"train": ["Make it flow."], "evaluation": ["Say it well."]}},
        {
            "name": "paraphrasing",
            "metric": "sari",
            "seen": False,
            "instructions": {"train": ["Say it in other words."], "evaluation": ["Put it another way."]},
        },
    ],
}


def write_space(folder: Path, model: Path, /, **changes: Any) -> Path:
    """Writes scenario, rows and search space into `folder`; `changes` replace or add top-level sections."""
    rows = [
        {"task": task, "text": f"the {task} number {i} was said to be so", "references": [f"{task} {i} is so."]}
        for task in ("clarity", "fluency", "paraphrasing")
        for i in range(100)
    ]
    rows += [{"task": "generic", "text": "", "references": [str(i + 1)], "instruction": f"What is {i} + 1?"} for i in range(100)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "small.yaml").write_text(yaml.safe_dump(SCENARIO))
    source = {"name": "rows", "format": "jsonl", "path": str(folder / "rows.jsonl"), "use": "both", "evaluation_fraction": 0.3}
    space = {
        "name": "small",
        "scenario": "small.yaml",
        "model": {"name": str(model)},
        "data": {"sources": [source]},
        "mixture": {"size": 48},
        "train": {"micro_batch_size": 4, "learning_rate": 0.005, "precision": "fp32"},
        "evaluation": {"dev_rows": 2, "test_rows": 4, "retention_rows": 4, "max_new_tokens": 8, "bootstrap_draws": 100},
        "search": {
            "trials": 4,
            "parameters": {"mixture.generic_fraction": {"low": 0.0, "high": 1.0}, "lora.rank": {"choices": [2, 8]}},
            "scheduler": {"rungs": [0.5, 1.0]},
        },
        "cluster": {"dashboard": False},
        **changes,
    }
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump(space))
    return path


def write_adapter(folder: Path, model: Path) -> Path:
    """A complete adapter that moves the tiny model far enough to answer differently."""
    import torch

    from mixwright.config import LoraConfig, ModelConfig
    from mixwright.models import COMPLETE, load_base, with_adapter

    tuned = with_adapter(load_base(ModelConfig(name=str(model)), torch.float32).model, LoraConfig(rank=4), name="default", seed=0)
    torch.manual_seed(0)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.2)
    tuned.save_pretrained(folder)
    (folder / COMPLETE).touch()
    return folder
