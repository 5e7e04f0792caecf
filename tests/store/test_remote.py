"""Runs on object storage, against a real S3 server: whole or not there, from any node, and patient with a store that is away."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import object_store as servers
from tests.object_store import ObjectStore, object_store

from mixwright.config import SweepConfig
from mixwright.errors import ConfigError, RunError, StoreError
from mixwright.models import COMPLETE
from mixwright.records import TrialRecord
from mixwright.settings import dump_yaml
from mixwright.store import lease, remote, runs

needs_server = pytest.mark.skipif(servers.program() is None, reason=servers.MISSING)
CONFIG = SweepConfig(name="a")
Node = Callable[[str], None]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("s3")) as store:
        yield store


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """Makes this process one on the named node, which has a disk of its own."""

    def forget() -> None:
        remote._MIRRORS.clear()
        for held in lease._LEASES.values():
            held.release()
        lease._LEASES.clear()
        for lock in runs._LOCKS.values():
            lock.close()
        runs._LOCKS.clear()

    def go_to(name: str) -> None:
        forget()
        monkeypatch.setenv("MIXWRIGHT_CACHE", str(tmp_path / name))

    monkeypatch.setattr(lease, "LOOK_S", 0.05)
    go_to("a")
    yield go_to
    forget()


@pytest.fixture(params=["file", pytest.param("s3", marks=needs_server)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a run, on a disk and on S3."""
    if request.param == "file":
        return f"file://{tmp_path}/store/demo"
    request.getfixturevalue("s3")
    return f"s3://{servers.BUCKET}/{tmp_path.name}/demo"


def record(number: int) -> TrialRecord:
    return TrialRecord(trial_id=f"trial_{number:04d}", number=number, status="failed", params={"lora.rank": 4}, rungs=(), cause="x")


def adapter(folder: Path, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_model.safetensors").write_bytes(content)
    (folder / "sub").mkdir(exist_ok=True)
    (folder / "sub" / "notes.txt").write_text("n")
    (folder / COMPLETE).touch()
    return folder


def test_a_plain_path_is_itself_and_publishing_does_nothing(tmp_path: Path) -> None:
    assert remote.run_folder(tmp_path / "run") == tmp_path / "run"
    (tmp_path / "x").write_text("x")
    remote.publish(tmp_path / "x")
    remote.publish_folder(tmp_path, COMPLETE)
    assert not (tmp_path / COMPLETE).exists()
    assert not remote.fetch_folder(tmp_path, COMPLETE)
    assert remote.address_of(tmp_path) == ""


def test_an_address_that_a_path_has_swallowed_is_told_and_one_of_an_unknown_kind_too(node: Node) -> None:
    with pytest.raises(ConfigError, match="give it as s3://bucket/runs"):
        remote.run_folder(Path("s3://bucket/runs"))
    with pytest.raises(ConfigError, match="neither pyarrow nor fsspec"):
        remote.run_folder("nosuch://bucket/runs")
    with pytest.raises(ConfigError, match="must be a folder of this machine"):
        remote.local_path("s3://bucket/out")


def test_a_run_is_found_from_another_node_and_no_trial_is_lost(node: Node, address: str) -> None:
    run = runs.open_run(remote.run_folder(address), CONFIG, resume=False)
    run.append_trial(record(0))
    run.append_trial(record(1))
    node("b")
    folder = remote.run_folder(address)
    assert folder != run.path
    with pytest.raises(RunError, match="another configuration"):
        runs.check_run(folder, CONFIG.with_values({"lora.rank": 4}), resume=True)
    again = runs.open_run(folder, CONFIG, resume=True)
    again.append_trial(record(2))
    node("a")  # its own copy is older now
    assert [trial.number for trial in runs.RunFolder(path=remote.run_folder(address)).trials()] == [0, 1, 2]


def test_a_working_folder_of_a_run_that_is_gone_is_not_taken_for_it(node: Node, address: str) -> None:
    local = remote.mirror(address).local
    (local / "config.yaml").write_text(dump_yaml(CONFIG))
    (local / "trials" / "trial_0001").mkdir(parents=True)
    folder = remote.run_folder(address)
    assert folder == local
    runs.check_run(folder, CONFIG.with_values({"lora.rank": 4}), resume=False)
    assert not (folder / "trials").exists()


def test_an_address_that_holds_something_else_is_refused(node: Node, address: str) -> None:
    remote.mirror(address).publish_bytes("holiday.jpg", b"x")
    with pytest.raises(RunError, match="is not empty and holds no run of ours"):
        runs.open_run(remote.run_folder(address), CONFIG, resume=False)


def test_an_adapter_is_found_from_another_node_and_its_replacement_too(node: Node, address: str, tmp_path: Path) -> None:
    run = runs.open_run(remote.run_folder(address), CONFIG, resume=False)
    run.keep_adapter(adapter(tmp_path / "one", b"one"), "best")
    node("b")
    best = remote.run_folder(address) / "adapters" / "best"
    assert remote.fetch_folder(best, COMPLETE)
    assert (best / "adapter_model.safetensors").read_bytes() == b"one"
    assert (best / "sub" / "notes.txt").read_text() == "n"
    node("a")
    runs.RunFolder(path=run.path).keep_adapter(adapter(tmp_path / "two", b"two"), "best")
    node("b")
    assert remote.fetch_folder(best, COMPLETE)
    assert (best / "adapter_model.safetensors").read_bytes() == b"two"


def test_half_an_upload_is_not_read(node: Node, address: str) -> None:
    """Without its marker; with the marker of the one before; cut short; of the right size, and another content."""
    folder = adapter(remote.run_folder(address) / "adapters" / "best", b"0123456789")
    there = remote.mirror(address)
    there.publish([folder / "adapter_model.safetensors"])
    node("b")
    best = remote.run_folder(address) / "adapters" / "best"
    assert not remote.fetch_folder(best, COMPLETE)
    there.publish_folder(folder, COMPLETE)
    for content in (b"01234", b"987654321"[::-1] + b"x"):
        there.publish_bytes("adapters/best/adapter_model.safetensors", content)
        assert not remote.fetch_folder(best, COMPLETE)
        assert not best.exists()
    there.publish_folder(folder, COMPLETE)
    assert remote.fetch_folder(best, COMPLETE)
    there.publish_bytes("adapters/best/adapter_model.safetensors", b"01234")  # a new upload begins
    there.publish_bytes(f"adapters/best/{COMPLETE}", b'{"files": [')
    assert not remote.fetch_folder(best, COMPLETE)
    assert (best / "adapter_model.safetensors").read_bytes() == b"0123456789", "what is here and whole stays"


def test_a_marker_cannot_lead_out_of_its_folder(node: Node, address: str) -> None:
    there = remote.mirror(address)
    there.publish_bytes("x", b"evil")
    file = {"name": "../../../x", "size": 4, "digest": "0"}
    there.publish_bytes(f"adapters/best/{COMPLETE}", json.dumps({"files": [file]}).encode())
    assert not remote.fetch_folder(there.local / "adapters" / "best", COMPLETE)


def test_removing_a_checkpoint_leaves_what_stands_beside_it(node: Node, address: str) -> None:
    folder = remote.run_folder(address) / "trials" / "trial_0000"
    for name in ("checkpoint/a/state.json", "checkpoint/a/big.pt", "mixture.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
        remote.publish(folder / name)
    remote.remove(folder / "checkpoint")
    remote.remove(folder / "checkpoint")
    there = remote.mirror(address)
    assert there.filled(folder) == ["mixture.json"]
    assert not remote.fetch_folder(folder / "checkpoint" / "a", "state.json")
    (folder / "checkpoint" / "a" / "big.pt").write_bytes(os.urandom(20 << 20))  # in several parts
    remote.publish(folder / "checkpoint" / "a" / "big.pt")
    assert there.read("trials/trial_0000/checkpoint/a/big.pt") == (folder / "checkpoint" / "a" / "big.pt").read_bytes()


def test_a_second_sweep_is_refused_while_the_first_lives(node: Node, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From another machine, where no lock of the first is seen."""
    monkeypatch.setattr(lease, "RENEW_S", 0.1)
    runs.open_run(remote.run_folder(address), CONFIG, resume=False)
    first = lease._LEASES.pop(address)
    monkeypatch.setattr(lease, "_has_ended_here", lambda held: False)
    node("b")
    with pytest.raises(RunError, match=r"another sweep is writing to this run \(process \d+ on "):
        runs.open_run(remote.run_folder(address), CONFIG, resume=True)
    first.release()
    runs.open_run(remote.run_folder(address), CONFIG, resume=True)


def test_the_run_of_a_killed_sweep_is_taken_over_and_the_killed_one_ends_should_it_live(
    node: Node, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "EXPIRED_S", 0.3)
    run = runs.open_run(remote.run_folder(address), CONFIG, resume=False)  # renews after 10 s: until then as good as dead
    first = lease._LEASES.pop(address)
    monkeypatch.setattr(lease, "_has_ended_here", lambda held: False)
    node("b")
    runs.open_run(remote.run_folder(address), CONFIG, resume=True)
    second = lease._LEASES.pop(address)
    monkeypatch.setattr(lease, "RENEW_S", 0.05)
    first.keep(remote.Mirror(address, patience_s=0.0))
    deadline = time.monotonic() + 10
    while not first.is_lost and time.monotonic() < deadline:
        time.sleep(0.02)
    node("a")
    lease._LEASES[address] = first
    with pytest.raises(RunError, match="another sweep has taken this run over"):
        run.append_trial(record(0))
    second.release()


def test_a_note_of_a_process_that_has_ended_here_is_not_waited_for() -> None:
    here = lease._this_process()
    assert not lease._has_ended_here(here)
    assert lease._has_ended_here({**here, "started": here["started"] - 1})
    assert not lease._has_ended_here({**here, "started": here["started"] - 1, "boot": "another machine"})


@needs_server
class TestAway:
    """A store that is away, for a while or for good."""

    @pytest.fixture
    def own(self, tmp_path: Path) -> Iterator[ObjectStore]:
        with object_store(tmp_path / "own") as store:
            yield store

    def test_errors_of_some_seconds_are_waited_for(self, node: Node, own: ObjectStore, caplog: pytest.LogCaptureFixture) -> None:
        address = f"s3://{servers.BUCKET}/demo"
        run = runs.open_run(remote.run_folder(address), CONFIG, resume=False)
        done: list[bool] = []
        with own.failing() as asked:
            thread = threading.Thread(target=lambda: (run.append_trial(record(0)), done.append(True)))
            thread.start()
            deadline = time.monotonic() + 20
            while not asked and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(1)
            assert not done
        thread.join(60)
        assert done
        node("b")
        assert [trial.number for trial in runs.RunFolder(path=remote.run_folder(address)).trials()] == [0]

    def test_one_that_stays_away_ends_with_the_way_on_and_nothing_half(
        self, node: Node, own: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("MIXWRIGHT_STORE_PATIENCE_S", "5")
        address = f"s3://{servers.BUCKET}/demo"
        run = runs.open_run(remote.run_folder(address), CONFIG, resume=False)
        run.keep_adapter(adapter(tmp_path / "one", b"one"), "best")
        own.stop()
        with pytest.raises(StoreError, match=r"does not answer .* go on with --resume once it answers"):
            run.keep_adapter(adapter(tmp_path / "two", b"two"), "best")
        assert "trying again for" in caplog.text
        own.start()
        node("b")
        best = remote.run_folder(address) / "adapters" / "best"
        assert remote.fetch_folder(best, COMPLETE)
        assert (best / "adapter_model.safetensors").read_bytes() == b"one"

    def test_a_wrong_key_and_a_missing_bucket_are_told_at_once(
        self, node: Node, own: ObjectStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(StoreError, match="NO_SUCH_BUCKET"):
            runs.open_run(remote.run_folder("s3://nobody/demo"), CONFIG, resume=False)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(StoreError, match=r"ACCESS_DENIED|SIGNATURE_DOES_NOT_MATCH"):
            runs.open_run(remote.run_folder(f"s3://{servers.BUCKET}/other"), CONFIG, resume=False)
