"""Checkpoints that survive: what is damaged is passed over and said, and a full disk ends one trial on all workers alike."""

from __future__ import annotations

import dataclasses
import json
import logging
import resource
import shutil
import subprocess
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from distributed_trials import Step, config, run_trials

from mixwright.errors import TrainError
from mixwright.records import append_line, to_json
from mixwright.train.checkpoint import STATE_FILE, SavedState, TrialProgress, export, read_progress, save_checkpoint

RANK_4 = {"lora.rank": 4}
RUNGS = (0.3, 0.6, 1.0)
SMALL_FILES = 4096
"""Bytes: enough for records, too few for tensors."""


def losses(run_dir: Path, trial: str) -> list[float]:
    return [json.loads(line)["loss"] for line in (run_dir / "trials" / trial / "metrics.jsonl").read_text().splitlines()]


def shard(folder: Path, generation: str) -> Path:
    return sorted(folder.glob(f"checkpoint/{generation}-*/*model_states.pt"))[-1]


def truncate(folder: Path, generations: tuple[str, ...]) -> None:
    for generation in generations:
        path = shard(folder, generation)
        path.write_bytes(path.read_bytes()[:100])


def flip_a_bit(folder: Path, generation: str) -> None:
    path = shard(folder, generation)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def no_file_larger_than(size: int) -> None:
    """The system refuses to write beyond it, as it would beyond the end of a disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def take_away(folder: Path, seconds: float) -> None:
    """Every path below the folder is an OSError for a while: a file is in its place."""
    elsewhere = folder.with_name(f".{folder.name}")
    folder.rename(elsewhere)
    folder.touch()

    def give_back() -> None:
        time.sleep(seconds)
        folder.unlink()
        elsewhere.rename(folder)

    threading.Thread(target=give_back).start()


def straight(trial: str) -> list[Step]:
    return [Step(trial, RANK_4, rung) for rung in range(3)]


def damaged(run_dir: Path, trial: str, damage: partial) -> list[Step]:
    """Two rungs, damage, and workers that start again for the third."""
    return [*straight(trial)[:2], Step(trial, RANK_4, 2, leave_first=True, before=partial(damage, run_dir / "trials" / trial))]


@pytest.fixture(scope="module")
def faults(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list]]:
    """One lane of two workers that meets every fault, one trial after another; files are refused to worker 0 alone."""
    run_dir = tmp_path_factory.mktemp("faults")
    limit, lift = partial(no_file_larger_than, SMALL_FILES), partial(no_file_larger_than, resource.RLIM_INFINITY)
    script = [
        *straight("straight"),
        *damaged(run_dir, "newest_truncated", partial(truncate, generations=("rung-1",))),
        *damaged(run_dir, "all_truncated", partial(truncate, generations=("rung-0", "rung-1"))),
        *damaged(run_dir, "newest_changed", partial(flip_a_bit, generation="rung-1")),
        Step("full_disk", RANK_4, 0),
        Step("full_disk", RANK_4, 1, before=limit),
        Step("after_full_disk", RANK_4, 0, before=lift),
        Step("full_disk", RANK_4, 1),
        *straight("full_at_export")[:2],
        Step("full_at_export", RANK_4, 2, before=limit),
        Step("full_at_export", RANK_4, 2, before=lift),
        *straight("noticed")[:2],
        Step("noticed", RANK_4, 2, notice_after=1),
        Step("noticed", RANK_4, 2, leave_first=True),
        *straight("away")[:2],
        Step("away", RANK_4, 2, before=partial(take_away, run_dir / "trials" / "away", 2.0)),
    ]
    records: dict[str, list] = {}
    seen = run_trials(config(tiny_model, rungs=RUNGS, zero_stage=2), run_dir, script, world_size=2)
    for step, record in zip(script, seen, strict=True):
        records.setdefault(step.trial_id, []).append(record)
    return run_dir, records


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        ("newest_truncated", "model_states.pt has 100 bytes instead of"),
        ("newest_changed", "model_states.pt is not what was written"),
        ("all_truncated", "training starts from the beginning"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over_and_said_and_the_trial_ends_as_if_nothing_had_been(
    faults: tuple[Path, dict[str, list]], trial: str, said: str
) -> None:
    run_dir, records = faults
    lines = [line for line in (run_dir / "warnings-0.txt").read_text().splitlines() if f"/{trial}/" in line]
    assert len(lines) == 1
    assert said in lines[0]
    assert trial == "all_truncated" or f"going on from step {records['straight'][0].step}" in lines[0]
    assert losses(run_dir, trial) == pytest.approx(losses(run_dir, "straight"), abs=1e-6)
    for rung, record in enumerate(records[trial]):
        assert record.step == records["straight"][rung].step
        assert record.tokens == records["straight"][rung].tokens
        assert record.objectives.seen == pytest.approx(records["straight"][rung].objectives.seen, abs=1e-6)


def test_two_generations_are_kept_and_the_older_one_knows_its_own_rungs_alone(faults: tuple[Path, dict[str, list]]) -> None:
    for trial in ("straight", "newest_truncated"):
        kept = sorted((faults[0] / "trials" / trial / "checkpoint").iterdir())
        assert [item.name.split("-step")[0] for item in kept] == ["rung-1", "rung-2"]
        assert [len(json.loads((item / STATE_FILE).read_text())["progress"]["rungs"]) for item in kept] == [2, 3]


def test_a_full_disk_ends_the_trial_with_its_cause_and_the_lane_serves_the_next(faults: tuple[Path, dict[str, list]]) -> None:
    run_dir, records = faults
    cause = records["full_disk"][1]
    assert cause.startswith("TrainError: ")
    assert f"{run_dir}/trials/full_disk/checkpoint/rung-1-step-" in cause
    assert "cannot be written by worker 0: the disk is full" in cause
    assert "free space there, or give a --run-dir on another disk" in cause
    assert losses(run_dir, "after_full_disk") == losses(run_dir, "straight")[: records["straight"][0].step]


def test_the_checkpoint_before_a_full_disk_stays_valid(faults: tuple[Path, dict[str, list]]) -> None:
    run_dir, records = faults
    again = records["full_disk"][2]
    assert again.step == records["straight"][1].step
    assert losses(run_dir, "full_disk") == pytest.approx(losses(run_dir, "straight")[: again.step], abs=1e-6)


def test_a_trial_that_is_told_of_its_machines_end_goes_on_from_that_step_with_the_same_numbers(
    faults: tuple[Path, dict[str, list]],
) -> None:
    run_dir, records = faults
    *first, told, last = records["noticed"]
    assert told == f"NodeLeavingError: told after step {first[-1].step + 1} that a machine is about to go"
    assert losses(run_dir, "noticed") == losses(run_dir, "straight")
    for record, expected in zip([*first, last], records["straight"], strict=True):
        assert dataclasses.replace(record, seconds=0.0) == dataclasses.replace(expected, seconds=0.0)


def test_a_store_that_is_away_while_a_rung_is_written_is_waited_for(faults: tuple[Path, dict[str, list]]) -> None:
    run_dir, records = faults
    assert "cannot be written by worker 0" in (run_dir / "warnings-0.txt").read_text()
    assert "; trying again in 1 s" in (run_dir / "warnings-0.txt").read_text()
    assert dataclasses.replace(records["away"][2], seconds=0.0) == dataclasses.replace(records["straight"][2], seconds=0.0)
    assert (run_dir / "trials" / "away" / "adapter" / "COMPLETE").exists()
    assert [item.name for item in sorted((run_dir / "trials" / "away" / "checkpoint").iterdir())] == [
        item.name for item in sorted((run_dir / "trials" / "straight" / "checkpoint").iterdir())
    ]


def test_an_adapter_that_does_not_fit_on_the_disk_leaves_nothing_behind_and_can_be_written_later(
    faults: tuple[Path, dict[str, list]],
) -> None:
    run_dir, records = faults
    failed, later = records["full_at_export"][2:]
    assert f"{run_dir}/trials/full_at_export/adapter: cannot be written by worker 0: the disk is full" in failed
    assert later.objectives == records["straight"][2].objectives
    folder = run_dir / "trials" / "full_at_export"
    assert sorted(item.name for item in folder.iterdir()) == ["adapter", "checkpoint", "metrics.jsonl", "mixture.json", "rows.json"]


class OneFileEngine:
    """Stands in for DeepSpeed's engine: its writer, one shard and a module without parameters."""

    def __init__(self) -> None:
        import torch
        from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine

        self.checkpoint_engine = TorchCheckpointEngine()
        self.module = torch.nn.Identity()

    def save_checkpoint(self, save_dir: str, tag: str, **_: object) -> None:
        import torch

        self.checkpoint_engine.makedirs(f"{save_dir}/{tag}", exist_ok=True)
        self.checkpoint_engine.save({"weight": torch.zeros(50_000)}, f"{save_dir}/{tag}/shard.pt")


def progress(step: int) -> TrialProgress:
    return TrialProgress(trial_id="t", world_size=1, step=step, examples=step, tokens=step, seconds=0.0, tag=f"step-{step}")


@pytest.fixture
def small_disk(tmp_path: Path):
    """A real file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_without_space_keeps_the_last_whole_checkpoint_and_no_half_of_the_next(small_disk: Path) -> None:
    folder, engine = small_disk / "checkpoint", OneFileEngine()
    folder.mkdir()
    save_checkpoint(engine, folder, progress(1))
    (small_disk / "filler").write_bytes(b"0" * (shutil.disk_usage(small_disk).free - 100_000))
    with pytest.raises(TrainError, match=r"step-2: cannot be written by worker 0: the disk is full \(.*No space left"):
        save_checkpoint(engine, folder, progress(2))
    assert [item.name for item in folder.iterdir()] == ["step-1"]
    assert read_progress(folder) == progress(1)
    (small_disk / "filler").unlink()
    save_checkpoint(engine, folder, progress(2))
    assert read_progress(folder) == progress(2)


def test_an_adapter_needs_space_too(small_disk: Path, tiny_model: Path) -> None:
    from contextlib import nullcontext

    import torch

    from mixwright.config import LoraConfig, ModelConfig
    from mixwright.models import load_base, with_adapter

    base = load_base(ModelConfig(name=str(tiny_model)), torch.float32)
    model = with_adapter(base.model, LoraConfig(rank=64), name="trial", seed=0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(0.1)
    (small_disk / "filler").write_bytes(b"0" * (shutil.disk_usage(small_disk).free - 100_000))
    with pytest.raises(TrainError, match=r"adapter: cannot be written by worker 0: the disk is full"):
        export(model, base.tokenizer, small_disk / "adapter", nullcontext())
    assert [item.name for item in small_disk.iterdir()] == ["filler"]
    (small_disk / "filler").unlink()
    export(model, base.tokenizer, small_disk / "adapter", nullcontext())
    assert (small_disk / "adapter" / "COMPLETE").exists()


def test_a_line_of_metrics_is_written_whole_or_not_at_all(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = small_disk / "metrics.jsonl"
    append_line(path, "first")
    (small_disk / "filler").write_bytes(b"0" * shutil.disk_usage(small_disk).free)
    with caplog.at_level(logging.WARNING):
        append_line(path, "x" * 8192)
    assert "metrics.jsonl: a line could not be written: No space left on device" in caplog.text
    assert path.read_text() == "first\n"


def test_a_folder_without_a_state_or_with_a_torn_one_is_no_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_progress(tmp_path / "nowhere") is None
    for name, content in (("a", None), ("b", "{"), ("c", json.dumps({"progress": {}}))):
        (tmp_path / name).mkdir()
        if content is not None:
            (tmp_path / name / STATE_FILE).write_text(content)
    with caplog.at_level(logging.WARNING):
        assert read_progress(tmp_path) is None
    assert caplog.text.count("passed over, since it cannot be read") == 2


def test_a_missing_file_is_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = OneFileEngine()
    for step in (1, 2, 3):
        save_checkpoint(engine, tmp_path, progress(step))
    assert sorted(item.name for item in tmp_path.iterdir()) == ["step-2", "step-3"]
    (tmp_path / "step-3" / "shard.pt").unlink()
    with caplog.at_level(logging.WARNING):
        assert read_progress(tmp_path) == progress(2)
    assert "step-3: shard.pt: No such file or directory; going on from step 2" in caplog.text


def test_the_state_says_what_each_file_must_be(tmp_path: Path) -> None:
    save_checkpoint(OneFileEngine(), tmp_path, progress(1))
    state = json.loads((tmp_path / "step-1" / STATE_FILE).read_text())
    assert state.keys() == {field.name for field in dataclasses.fields(SavedState)}
    assert state["progress"] == json.loads(json.dumps(to_json(progress(1))))
    assert {file["name"]: file["size"] for file in state["files"]} == {
        name: (tmp_path / "step-1" / name).stat().st_size for name in ("shard.pt", "random_state_0.pt")
    }


def test_a_checkpoint_holds_nothing_of_the_frozen_base_not_even_under_the_second_name_of_tied_weights(
    stages: dict[int, tuple[Path, list[Any]]],
) -> None:
    import torch

    for stage, (run_dir, _) in stages.items():
        files = sorted(run_dir.glob("trials/*/checkpoint/*/*model_states.pt"))
        assert files
        for file in files:
            held = torch.load(file, weights_only=False)["module"]
            assert [name for name in held if "lora_" not in name] == [], (stage, file.name)
            assert held or stage == 3  # there the shards of the optimiser's files are all there is
