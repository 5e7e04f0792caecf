"""ERRANT's edits as Ray tasks, on a real local cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import pytest
import ray

from mixwright.config import ClusterConfig
from mixwright.errors import ScoreError
from mixwright.evaluate import parsing
from mixwright.evaluate.edits import EditF
from mixwright.evaluate.parsing import EditExtractor, Pair
from mixwright.search import edit_pool
from mixwright.search.cluster import connected

pytestmark = pytest.mark.cluster

SOURCES = [f"She walk to harbour {number} every morning and wave at ferry ." for number in range(12)]
PAIRS: list[Pair] = [
    (source, source.replace(wrong, right))
    for wrong, right in (("walk", "walks"), ("wave at", "waves at the"), ("She", "she"), ("morning and", "and morning"))
    for source in SOURCES
]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with connected(ClusterConfig(dashboard=False)):
        yield


@pytest.fixture(autouse=True)
def empty_memory() -> None:
    parsing.shared_extractor.cache_clear()


def _is_idle() -> bool:
    return ray.available_resources().get("CPU", 0) == ray.cluster_resources()["CPU"]


def test_tasks_find_the_very_edits_that_a_process_finds_alone_and_give_their_cpus_back() -> None:
    found = edit_pool.find_edits(PAIRS, tokenized=True, cpus=2)
    assert found == EditExtractor(tokenized=True).edits(PAIRS)
    deadline = time.monotonic() + 20
    while not _is_idle() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _is_idle()
    assert not ray.util.list_named_actors(all_namespaces=True)


def test_scores_are_the_same_with_and_without_help_and_are_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    find = edit_pool.find_edits

    def counted(pairs: Sequence[Pair], *, tokenized: bool, cpus: int) -> object:
        calls.append(len(pairs))
        return find(pairs, tokenized=tokenized, cpus=cpus)

    monkeypatch.setattr(edit_pool, "find_edits", counted)
    monkeypatch.setattr(edit_pool, "_free_cpus", lambda: 2)
    outputs, references = [text for _, text in PAIRS[:12]], [(text,) for _, text in PAIRS[12:24]]
    with edit_pool.parallel_edits(from_pairs=10):
        helped = EditF().rows(SOURCES, outputs, references)
        again = EditF().rows(SOURCES, outputs, references)
    parsing.shared_extractor.cache_clear()
    assert helped == again == EditF().rows(SOURCES, outputs, references)
    assert calls == [24]


def test_few_pairs_stay_in_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edit_pool, "find_edits", lambda *_, **__: pytest.fail("asked the cluster about a few pairs"))
    with edit_pool.parallel_edits(tokenized=True):
        assert EditF(tokenized=True).rows(SOURCES, SOURCES, [(text,) for _, text in PAIRS[:12]])


def test_a_task_that_fails_is_an_error_and_no_score() -> None:
    broken = [*PAIRS[:4], ("a source", b"no text")]
    with pytest.raises(ScoreError, match=r"edits could not be worked out on the cluster: .*bytes"):
        edit_pool.find_edits(broken, tokenized=True, cpus=2)  # type: ignore[arg-type]
