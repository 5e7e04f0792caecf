"""The last record of a run: which systems stand in it, and in which order."""

from __future__ import annotations

from mixwright.records import BASE, COPY, HUMAN, Difference, RunRecord, Score, SystemRecord
from mixwright.search.finish import BEST, complete_record


def system(name: str, differences: tuple[Difference, ...] = ()) -> SystemRecord:
    score = Score(task="clarity", metric="sari", system=name, value=40.0, n=8, low=35.0, high=45.0)
    return SystemRecord(name=name, scores=(score,), differences=differences)


SEARCHED = RunRecord(
    name="run",
    question="",
    status="searched",
    best={"trial_id": "trial_0003"},
    pareto=(),
    systems=(),
    base_dev={},
    environment={},
    cost={"seconds": {"search": 1.0}},
    data={},
)
SYSTEMS = (
    system(COPY),
    system(BASE),
    system(BEST, (Difference(task="mean of seen", system=BEST, value=1.0, low=0.5, high=1.5, n=8),)),
)


def test_the_human_row_stands_beside_the_copy_where_there_is_one() -> None:
    record = complete_record(SEARCHED, (SYSTEMS[0], system(HUMAN), *SYSTEMS[1:]), {"evaluation": 2.0})
    assert [item.name for item in record.systems] == [BASE, COPY, HUMAN, BEST]
    assert (record.status, record.systems[-1].trial_id) == ("complete", "trial_0003")


def test_without_several_references_base_copy_and_best_stand_alone() -> None:
    record = complete_record(SEARCHED, SYSTEMS, {"evaluation": 2.0})
    assert [item.name for item in record.systems] == [BASE, COPY, BEST]
    assert record.best["seen_difference"]["value"] == 1.0
