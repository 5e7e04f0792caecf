"""Every kind of adapter learns and is saved as plain peft loads it; offload and the number of workers change nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import safetensors.torch
import torch
from distributed_trials import FirstLogit, Lane, Step, config, run_lanes, run_trials

from mixwright.config import TrainConfig
from mixwright.errors import HardwareError
from mixwright.testing import make_tiny_model
from mixwright.train import zero
from mixwright.train.swap_folder import own_folder

METHODS = {
    "lora": {"lora.rank": 4},
    "rslora": {"lora.rank": 4, "lora.alpha": 8.0, "lora.use_rslora": True},
    "dora": {"lora.rank": 4, "lora.use_dora": True},
    "both": {"lora.rank": 4, "lora.alpha": 8.0, "lora.use_rslora": True, "lora.use_dora": True},
}
OFFLOADS = {
    "zero1": {"train.zero_stage": 1, "train.offload_optimizer": "cpu"},
    "zero2": {"train.zero_stage": 2, "train.offload_optimizer": "cpu"},
    "zero3": {"train.zero_stage": 3, "train.offload_optimizer": "cpu", "train.offload_param": "cpu"},
}


def losses(run_dir: Path, trial: str) -> list[float]:
    return [json.loads(line)["loss"] for line in (run_dir / "trials" / trial / "metrics.jsonl").read_text().splitlines()]


def adapter(run_dir: Path, trial: str) -> Path:
    return run_dir / "trials" / trial / "adapter"


def tensors(run_dir: Path, trial: str) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(adapter(run_dir, trial) / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def methods(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list]]:
    """Each method on one warm lane, the second of its rungs after a restart from its checkpoint."""
    run_dir = tmp_path_factory.mktemp("methods")
    script = [Step(name, values, rung, leave_first=rung == 1) for name, values in METHODS.items() for rung in (0, 1)]
    records: dict[str, list] = {}
    seen = run_trials(config(tiny_model, learning_rate=1e-2), run_dir, script, world_size=1)
    for step, record in zip(script, seen, strict=True):
        records.setdefault(step.trial_id, []).append(record)
    return run_dir, records


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns(methods: tuple[Path, dict[str, list]], method: str) -> None:
    first, *_, last = losses(methods[0], method)
    assert last < first - 0.2


@pytest.mark.parametrize("method", METHODS)
def test_plain_peft_loads_what_was_learned(methods: tuple[Path, dict[str, list]], method: str, tiny_model: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run_dir, records = methods
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(base, adapter(run_dir, method))
    assert FirstLogit()(tuned, config(tiny_model)).objectives.seen == pytest.approx(records[method][1].objectives.seen, abs=1e-6)


def test_methods_differ_in_what_they_learn(methods: tuple[Path, dict[str, list]]) -> None:
    ends = {method: losses(methods[0], method)[-1] for method in METHODS}
    assert len({round(loss, 5) for loss in ends.values()}) == len(METHODS)


def test_dora_saves_a_magnitude_for_every_matrix_that_has_moved(methods: tuple[Path, dict[str, list]], tiny_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    saved = {name: tensor for name, tensor in tensors(methods[0], "dora").items() if "magnitude" in name}
    assert len(saved) == 2 * 7
    name = "base_model.model.model.layers.0.mlp.up_proj.lora_magnitude_vector"
    assert not torch.allclose(saved[name], base.model.layers[0].mlp.up_proj.weight.norm(dim=1))


@pytest.fixture(scope="module")
def offloaded(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list]]:
    """The same trial with and without offload on two workers, the second rung after a restart from the checkpoint."""
    run_dir = tmp_path_factory.mktemp("offloaded")
    script = [
        Step(name, values, rung, leave_first=rung == 1) for name, values in {"plain": {}, **OFFLOADS}.items() for rung in (0, 1)
    ]
    records: dict[str, list] = {}
    for step, record in zip(script, run_trials(config(tiny_model), run_dir, script, world_size=2), strict=True):
        records.setdefault(step.trial_id, []).append(record)
    return run_dir, records


@pytest.mark.parametrize("stage", OFFLOADS)
def test_offload_to_the_cpu_changes_no_loss_and_no_saved_adapter(offloaded: tuple[Path, dict[str, list]], stage: str) -> None:
    run_dir, records = offloaded
    assert losses(run_dir, stage) == pytest.approx(losses(run_dir, "plain"), abs=1e-5)
    assert records[stage][1].objectives.seen == pytest.approx(records["plain"][1].objectives.seen, abs=1e-6)
    saved, plain = tensors(run_dir, stage), tensors(run_dir, "plain")
    assert saved.keys() == plain.keys()
    assert all(saved[name].shape == plain[name].shape for name in plain)
    assert all(bool(tensor.any()) for name, tensor in saved.items() if "lora_B" in name)


@pytest.fixture(scope="module")
def larger_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DeepSpeed leaves tensors of less than a MiB in memory, so that these have to be of more."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = make_tiny_model(tmp_path_factory.mktemp("larger") / "model")
    settings = LlamaConfig.from_pretrained(folder)
    settings.hidden_size, settings.intermediate_size, settings.head_dim = 256, 2048, 64
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(settings).save_pretrained(folder)
    return folder


@pytest.mark.slow  # DeepSpeed compiles its asynchronous I/O first
def test_offload_to_files_changes_no_loss_and_no_saved_adapter(larger_model: Path, tmp_path: Path) -> None:
    plain = config(larger_model).with_values({"lora.rank": 128})
    path, names = tmp_path / "fast", ("first", "second")
    to_files = {"offload_optimizer": "nvme", "offload_param": "nvme", "nvme_path": str(path)}
    files = plain.with_values({f"train.{key}": value for key, value in {**to_files, "zero_stage": 3}.items()})
    try:
        zero.check_can_offload(files.train)
    except HardwareError as error:
        pytest.skip(str(error))
    in_files = partial(_note_files, path, tmp_path / "seen")
    script = [Step("first", {}, 0), Step("first", {}, 1, leave_first=True), Step("second", {"train.learning_rate": 1e-3}, 0)]
    noting = [*script, Step("second", {"train.learning_rate": 1e-3}, 1, before=in_files)]
    lanes = [Lane(plain, tmp_path / "plain", [*script, replace(noting[-1], before=None)]), Lane(files, tmp_path / "files", noting)]
    in_memory, offloaded = run_lanes(lanes, world_size=2)
    for ours, theirs in zip(offloaded, in_memory, strict=True):
        assert ours.objectives.seen == pytest.approx(theirs.objectives.seen, abs=1e-5)
    for name in names:
        assert losses(tmp_path / "files", name) == pytest.approx(losses(tmp_path / "plain", name), abs=1e-4)
        saved, expected = tensors(tmp_path / "files", name), tensors(tmp_path / "plain", name)
        assert saved.keys() == expected.keys()
        # An element whose gradient is next to nothing may move either way in Adam's first steps.
        assert all((saved[key] - expected[key]).norm() < 0.01 * expected[key].norm() for key in expected)
    written = (tmp_path / "seen").read_text().splitlines()
    assert len({Path(file).relative_to(path).parts[0] for file in written}) == 2, "each worker has a folder of its own"
    assert not list(path.rglob("*.swp")), "the last trial's files are gone with the workers"


def _note_files(path: Path, seen: Path) -> None:
    seen.write_text("\n".join(str(file) for file in path.rglob("*.swp")))


def test_a_folder_of_a_process_that_was_killed_is_taken_away_and_one_in_use_is_not(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from mixwright.train.swap_folder import own_folder; "
        f"print(own_folder({str(tmp_path)!r}), flush=True); sys.stdin.read(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdin
        other = Path(process.stdout.readline().strip())
        (other / "0.tensor.swp").touch()
        own = own_folder(str(tmp_path))
        assert own != other
        assert own.parent == tmp_path
        assert (other / "0.tensor.swp").exists()
        process.stdin.close()
    own_folder.cache_clear()
    assert own_folder(str(tmp_path)) != own
    assert not other.exists()
    assert own.exists()


def test_a_path_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HardwareError, match=r"train.nvme_path: .*; give a folder that workers can write to"):
        own_folder(str(tmp_path / "file"))


def test_deepspeed_is_told_what_to_offload_and_where() -> None:
    train = TrainConfig(zero_stage=3, offload_optimizer="cpu", offload_param="nvme", nvme_path="/fast")
    section = zero.deepspeed_config(train, "fp32", 1)["zero_optimization"]
    assert section["offload_optimizer"] == {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    assert section["offload_param"] == {"device": "nvme", "pin_memory": torch.cuda.is_available(), "nvme_path": "/fast"}
    assert "offload_optimizer" not in zero.deepspeed_config(TrainConfig(zero_stage=3), "fp32", 1)["zero_optimization"]


def test_offload_to_files_is_refused_before_anything_starts_where_it_cannot_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    from deepspeed.ops.op_builder.async_io import AsyncIOBuilder

    train = TrainConfig(zero_stage=3, offload_optimizer="nvme", nvme_path="/fast")
    monkeypatch.setattr(AsyncIOBuilder, "has_function", lambda *_, **__: False)
    with pytest.raises(HardwareError, match=r"nvme needs libaio and its headers, .*\(Debian: libaio-dev\), or offload to cpu"):
        zero.check_can_offload(train)
    zero.check_can_offload(TrainConfig(zero_stage=3, offload_optimizer="cpu"))


@pytest.fixture(scope="module")
def worlds(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The same 35 rows in steps of 6 on one, two and three workers: the last step has 5, so that their shares differ."""
    ran = {}
    for workers in (1, 2, 3):
        ran[workers] = tmp_path_factory.mktemp(f"workers{workers}")
        settings = config(tiny_model, micro_batch_size=1, gradient_accumulation=6 // workers, zero_stage=min(workers, 2))
        script = [Step("odd", {"mixture.size": 35}, 0), Step("odd", {"mixture.size": 35}, 1)]
        script += [Step("single", {"mixture.size": 31}, 0), Step("single", {"mixture.size": 31}, 1)]
        run_trials(settings, ran[workers], script, world_size=workers)
    return ran


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("trial", ["odd", "single"])
def test_any_number_of_workers_takes_the_same_steps_to_the_same_adapter(worlds: dict[int, Path], workers: int, trial: str) -> None:
    """`single` ends with a step of one row, where all workers but one have none."""
    alone = losses(worlds[1], trial)
    assert len(alone) == 6
    assert losses(worlds[workers], trial) == pytest.approx(alone, abs=1e-5)
    mine, others = tensors(worlds[1], trial), tensors(worlds[workers], trial)
    assert mine.keys() == others.keys()
    for name, tensor in mine.items():
        torch.testing.assert_close(others[name], tensor, atol=1e-5, rtol=0)


def gradient_norms(run_dir: Path, trial: str) -> list[float]:
    path = run_dir / "trials" / trial / "metrics.jsonl"
    return [json.loads(line)["grad_norm"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("workers", [2, 3])
def test_the_gradient_of_a_step_does_not_depend_on_the_number_of_workers(worlds: dict[int, Path], workers: int) -> None:
    for trial in ("odd", "single"):
        alone, several = gradient_norms(worlds[1], trial), gradient_norms(worlds[workers], trial)
        assert several == pytest.approx(alone, rel=1e-4)
