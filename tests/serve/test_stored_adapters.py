"""Adapters are found on disk as they are now, and a name cannot lead out of the store."""

from __future__ import annotations

import os

import pytest
from serve import adapters
from serve.adapters import AdapterStore, StoredNames

from mixwright.errors import ModelError
from mixwright.models import COMPLETE


@pytest.fixture(autouse=True)
def always_look(monkeypatch):
    monkeypatch.setattr(adapters, "FRESH_S", 0.0)


def complete(folder):
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"x")
    (folder / COMPLETE).touch()
    return folder


@pytest.fixture
def store(tmp_path):
    complete(tmp_path / "adapters" / "best")
    complete(tmp_path / "trials" / "trial_0001" / "adapter")
    (tmp_path / "trials" / "trial_0002" / "adapter").mkdir(parents=True)
    return AdapterStore(tmp_path / "adapters", tmp_path / "trials")


def test_the_runs_adapters_and_each_complete_trials_are_there_by_name(store, tmp_path):
    assert store.names() == ["best", "trial_0001"]
    assert store.locate("trial_0001").folder == tmp_path / "trials" / "trial_0001" / "adapter"


def test_what_becomes_complete_is_there_and_what_goes_is_not(store, tmp_path):
    names = StoredNames(store)
    assert "trial_0002" not in names
    (tmp_path / "trials" / "trial_0002" / "adapter" / COMPLETE).touch()
    complete(tmp_path / "adapters" / "best-unseen")
    assert list(names) == ["best", "best-unseen", "trial_0001", "trial_0002"]
    assert "best-unseen" in names
    (tmp_path / "adapters" / "best" / COMPLETE).unlink()
    assert "best" not in names


def test_what_another_replica_has_seen_is_there_even_right_after_a_look(store, tmp_path, monkeypatch):
    monkeypatch.setattr(adapters, "FRESH_S", 3600.0)
    assert store.names() == ["best", "trial_0001"]
    folders = [complete(tmp_path / "adapters" / "new"), complete(tmp_path / "trials" / "trial_0003" / "adapter")]
    assert [store.locate(name).folder for name in ("new", "trial_0003")] == folders
    (tmp_path / "adapters" / "linked").symlink_to(complete(tmp_path / "elsewhere"))
    assert [store.holds(name) for name in ("linked", "..", "", "best\0", "base", "nobody")] == [False] * 6


def test_a_replaced_folder_has_another_stamp(store, tmp_path):
    before = store.locate("best").stamp
    assert store.locate("best").stamp == before
    os.utime(tmp_path / "adapters" / "best" / COMPLETE, ns=(1, 1))
    assert store.locate("best").stamp != before


@pytest.mark.parametrize("name", ["..", "../trials", "best/../../secret", ".", "", "/etc", "best/", "adapters/best", "~", "best\0"])
def test_a_name_cannot_lead_out_of_the_store(store, tmp_path, name):
    complete(tmp_path / "secret")
    assert not store.holds(name)


def test_a_link_out_of_the_store_is_not_served(store, tmp_path):
    (tmp_path / "adapters" / "linked").symlink_to(complete(tmp_path / "elsewhere"))
    assert not store.holds("linked")


def test_a_path_is_served_where_the_operator_allows_it(store, tmp_path):
    path = str(complete(tmp_path / "elsewhere"))
    with pytest.raises(ModelError, match=r"set serve\.allow_adapter_paths"):
        store.locate(path)
    open_store = AdapterStore(tmp_path / "adapters", allow_paths=True)
    assert path in StoredNames(open_store)
    assert path not in list(StoredNames(open_store))
    for trick in (f"{tmp_path}/adapters/../elsewhere", f"{path}/", f"{path}/.", "elsewhere/x"):
        with pytest.raises(ModelError, match="must be an absolute path"):
            open_store.locate(trick)
    (tmp_path / "elsewhere" / COMPLETE).unlink()
    with pytest.raises(ModelError, match="is no complete adapter"):
        open_store.locate(path)
