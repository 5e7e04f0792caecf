"""What a lane's channel says of workers that were lost."""

from __future__ import annotations

import asyncio

from mixwright.config import SweepConfig
from mixwright.train.lane import Answer, Channel
from mixwright.train.resident import Assignment


def test_an_answer_carries_how_often_the_lane_has_lost_its_workers_in_all_of_its_life() -> None:
    async def lane() -> list[int]:
        channel, seen = Channel(max_failures=5), []
        for trial, groups in (("trial_0000", ["a", "b"]), ("trial_0001", ["b"]), ("trial_0002", ["c", "d"])):
            assigned = asyncio.create_task(channel.assign(Assignment(trial_id=trial, config=SweepConfig(name="x"), rung=0)))
            await asyncio.sleep(0)
            for group in groups:
                await channel.joined(group)
            number, _ = await channel.next(0)
            await channel.answer(number, Answer())
            seen.append((await assigned).losses)
        return seen

    assert asyncio.run(lane()) == [1, 1, 3]


def test_workers_that_leave_on_purpose_are_no_loss_and_the_next_take_up_what_is_open() -> None:
    async def lane() -> tuple[int, Answer]:
        channel = Channel(max_failures=0)
        assigned = asyncio.create_task(channel.assign(Assignment(trial_id="t", config=SweepConfig(name="x"), rung=0)))
        await asyncio.sleep(0)
        await channel.joined("a")
        await channel.leave()
        number, _ = await channel.next(await channel.joined("b"))
        await channel.answer(number, Answer())
        return number, await assigned

    assert asyncio.run(lane()) == (1, Answer())


def test_a_trial_that_loses_its_workers_too_often_is_answered_with_them_counted() -> None:
    async def lane() -> Answer:
        channel = Channel(max_failures=0)
        assigned = asyncio.create_task(channel.assign(Assignment(trial_id="t", config=SweepConfig(name="x"), rung=0)))
        await asyncio.sleep(0)
        await channel.joined("a")
        await channel.joined("b")
        return await assigned

    answer = asyncio.run(lane())
    assert answer.losses == 1
    assert "lost its workers once" in answer.cause
