"""Adapters are loaded when asked for, go in the order of disuse, and are read anew where their folder was replaced."""

from __future__ import annotations

import asyncio

import pytest

from mixwright.errors import ModelError
from mixwright.generate.residents import Found, Residents


class Holder:
    """Keeps what it is told to hold; loading takes a moment."""

    def __init__(self, broken=()):
        self.held, self.loads, self.broken = {}, [], set(broken)

    async def hold(self, name, folder):
        await asyncio.sleep(0.01)
        self.loads.append(folder)
        if folder in self.broken:
            raise ModelError(f"{folder}: damaged")
        self.held[name] = folder

    async def release(self, name):
        await asyncio.sleep(0)
        del self.held[name]


@pytest.fixture
def stamps():
    return dict.fromkeys("abcd", 1)


@pytest.fixture
def holder():
    return Holder()


def residents_of(holder, stamps, most=2):
    return Residents(holder, lambda name: Found(folder=name, stamp=(stamps[name],)), most=most)


async def use(residents, name, seconds=0.0):
    async with residents.using(name) as inner:
        await asyncio.sleep(seconds)
        return inner


def test_many_that_ask_at_once_share_one_load(holder, stamps):
    async def ask():
        residents = residents_of(holder, stamps)
        return await asyncio.gather(*(use(residents, "a") for _ in range(5)), use(residents, "base"))

    names = asyncio.run(ask())
    assert len(set(names[:5])) == 1
    assert names[5] == "base"
    assert holder.loads == ["a"]


def test_the_one_longest_unused_goes_at_the_limit(holder, stamps):
    async def ask():
        residents = residents_of(holder, stamps)
        for name in "abac":
            await use(residents, name)
        return residents.counts

    counts = asyncio.run(ask())
    assert sorted(holder.held.values()) == ["a", "c"]
    assert (counts.held, counts.loaded, counts.evicted) == (2, 3, 1)


def test_one_in_use_stays_and_the_next_waits_for_a_place(holder, stamps):
    async def ask():
        residents = residents_of(holder, stamps, most=1)
        inner = []

        async def held_long():
            async with residents.using("a") as name:
                inner.append(name)
                await asyncio.sleep(0.05)
                assert name in holder.held

        await asyncio.gather(held_long(), *(use(residents, name) for name in "bcd"), use(residents, "a"))

    asyncio.run(asyncio.wait_for(ask(), 5))
    assert len(holder.held) == 1


def test_a_replaced_one_is_read_anew_and_rows_in_work_keep_the_old(holder, stamps):
    async def ask():
        residents = residents_of(holder, stamps)
        async with residents.using("a") as old:
            stamps["a"] = 2
            new = await use(residents, "a")
            assert {old, new} <= holder.held.keys()
        assert list(holder.held) == [new] != [old]
        return await use(residents, "a") == new

    assert asyncio.run(ask())
    assert holder.loads == ["a", "a"]


def test_one_that_cannot_be_read_is_not_tried_again_until_it_changes(stamps):
    holder = Holder(broken="b")

    async def ask():
        residents = residents_of(holder, stamps)
        for _ in range(3):
            with pytest.raises(ModelError, match="b: damaged"):
                await use(residents, "b")
        assert holder.loads == ["b"]
        stamps["b"] = 2
        holder.broken.clear()
        return await use(residents, "b")

    assert asyncio.run(ask()) in holder.held


def test_a_client_that_goes_while_it_waits_leaves_no_use_behind(holder, stamps):
    async def ask():
        residents = residents_of(holder, stamps, most=1)
        gone = asyncio.create_task(use(residents, "a"))
        await asyncio.sleep(0.001)
        gone.cancel()
        return await asyncio.wait_for(use(residents, "b"), 1)

    inner = asyncio.run(ask())
    assert list(holder.held) == [inner]
