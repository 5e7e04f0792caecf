"""Checkpoints of workers on nodes that share no disk: published to a real S3 server, and brought from there when a disk is lost."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from distributed_trials import Lane, Step, config, run_lanes
from tests import object_store as servers
from tests.object_store import object_store

from mixwright.models import COMPLETE
from mixwright.store import remote

pytestmark = pytest.mark.skipif(servers.program() is None, reason=servers.MISSING)

ADDRESS = f"s3://{servers.BUCKET}/checkpoints"
RUNGS = (0.3, 0.6, 1.0)
RANK_4 = {"lora.rank": 4}


def lose_disk() -> None:
    """What this worker's node holds of trials."""
    for folder in Path(os.environ["MIXWRIGHT_CACHE"]).glob("runs/*/trials"):
        shutil.rmtree(folder)


def cut_newest_short(trial: str) -> None:
    """Half of a shard of the newest checkpoint at the address, as if a connection had ended in the middle, and this node's disk."""
    there = remote.mirror(ADDRESS)
    folder = there.local / "trials" / trial / "checkpoint"
    (tag,) = (name for name in there.names(folder) if name.startswith("rung-1-"))
    shard = next(name for name in there.names(folder / tag) if "model_states" in name)
    name = f"trials/{trial}/checkpoint/{tag}/{shard}"
    content = there.read(name)
    assert content
    there.publish_bytes(name, content[: len(content) // 2])


@dataclass(frozen=True)
class Seen:
    folder: Path
    local: list[Any]
    remote: list[Any]

    def steps(self, trial: str) -> list[int]:
        lines = (remote.mirror(ADDRESS).read(f"trials/{trial}/metrics.jsonl") or b"").splitlines()
        return [json.loads(line)["step"] for line in lines]


@pytest.fixture(scope="module")
def seen(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("nodes")
    settings = config(tiny_model, rungs=RUNGS, zero_stage=2)
    straight = [Step("trial_0000", RANK_4, rung) for rung in range(3)]
    lost = [*straight[:2], Step("trial_0000", RANK_4, 2, leave_first=True, before=lose_disk, before_on_all=True)]
    damaged = [Step("trial_0001", RANK_4, rung) for rung in range(2)]
    damaged += [Step("trial_0002", RANK_4, 0, before=partial(cut_newest_short, "trial_0001"))]  # on other workers' minds
    damaged += [Step("trial_0001", RANK_4, 2, leave_first=True, before=lose_disk, before_on_all=True)]
    with object_store(folder / "s3"):
        lanes = [Lane(settings, folder / "here", straight), Lane(settings, folder / "there", [*lost, *damaged], ADDRESS)]
        local, far = run_lanes(lanes, world_size=2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MIXWRIGHT_CACHE", str(folder / "looking"))
            remote._MIRRORS.clear()
            yield Seen(folder, local, far)
            remote._MIRRORS.clear()


def test_a_trial_whose_nodes_lost_their_disks_goes_on_to_the_same_weights(seen: Seen) -> None:
    assert [record.objectives.seen for record in seen.remote[:3]] == [record.objectives.seen for record in seen.local]
    assert seen.steps("trial_0000") == list(range(1, seen.local[-1].step + 1))


def test_a_shard_that_was_cut_short_is_not_read_and_the_checkpoint_before_it_is(seen: Seen) -> None:
    assert seen.remote[-1].objectives.seen == seen.local[-1].objectives.seen
    warnings = (seen.folder / "there" / "warnings-0.txt").read_text()
    assert "passed over, it is not whole: " in warnings
    assert "bytes instead of" in warnings


def test_two_checkpoints_stay_at_the_address_and_none_on_a_node_that_has_another_trial(seen: Seen) -> None:
    there = remote.mirror(ADDRESS)
    for trial in ("trial_0000", "trial_0001"):
        kept = there.filled(there.local / "trials" / trial / "checkpoint")
        assert [name.rsplit("-", 2)[0] for name in kept] == ["rung-1", "rung-2"], trial
    for rank in range(2):
        assert not list((seen.folder / "there" / f"node-{rank}").glob("runs/*/trials/trial_0000/checkpoint/*"))


def test_the_adapter_is_published_whole(seen: Seen) -> None:
    adapter = remote.mirror(ADDRESS).local / "trials" / "trial_0000" / "adapter"
    assert remote.fetch_folder(adapter, COMPLETE)
    assert (adapter / "adapter_model.safetensors").stat().st_size > 1000
