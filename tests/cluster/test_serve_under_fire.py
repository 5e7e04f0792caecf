"""The endpoint while its replicas are killed: every answer is the right one, whoever else asks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import httpx
import psutil
import pytest
from tests.benchmarks.quick import imported

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

REQUESTS, CLIENTS, TEXTS = 2000, 32, 12


@pytest.fixture(scope="module")
def fire() -> ModuleType:
    return imported("serve_load")


@pytest.fixture(scope="module")
def ready(fire: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return fire.prepared(None, tmp_path_factory.mktemp("run"), TEXTS)


@pytest.fixture(scope="module")
def url(fire: ModuleType, ready: Any) -> Iterator[str]:
    with fire.endpoint(ready) as address:
        yield address


def test_no_two_adapters_answer_a_text_alike(fire: ModuleType, ready: Any) -> None:
    assert len(ready.cases) == TEXTS * len(fire.ADAPTERS)
    assert len({case.answer for case in ready.cases}) == len(ready.cases)


def test_a_wrong_answer_would_be_noticed(fire: ModuleType, ready: Any, url: str) -> None:
    first, second, *rest = ready.cases
    swapped = [
        fire.Case(adapter=first.adapter, text=first.text, answer=second.answer),
        fire.Case(adapter=second.adapter, text=second.text, answer=first.answer),
        fire.Case(adapter=rest[0].adapter, text=rest[0].text, answer="what nobody says"),
    ]
    tally = asyncio.run(fire.asked(url, swapped, 6, 2))
    assert (tally.mixed_up, len(tally.lost), tally.seconds) == (4, 2, [])


def test_nothing_is_lost_or_mixed_up_while_replicas_are_killed(fire: ModuleType, ready: Any, url: str) -> None:
    before = set(fire.pids(fire.REPLICA))
    tally = fire.under_fire(url, ready.cases, REQUESTS, clients=CLIENTS)
    assert (tally.lost, tally.mixed_up, tally.ended) == ([], 0, REQUESTS)
    assert min(tally.by_adapter.values()) == REQUESTS // len(fire.ADAPTERS)
    assert len(set(tally.pids_killed)) == fire.KILLS
    assert before & set(tally.pids_killed)
    assert not any(psutil.pid_exists(pid) for pid in tally.pids_killed)
    assert httpx.get(f"{url}/healthz", timeout=60).json()["status"] == "ok"
