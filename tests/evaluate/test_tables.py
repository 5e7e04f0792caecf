"""Tables for a terminal: every system a column, and beside each difference whether its rows could show one."""

from __future__ import annotations

from mixwright.evaluate.tables import difference_lines, legend, table_lines
from mixwright.records import Difference, PowerRecord, Score, SystemRecord


def score(task: str, system: str, value: float) -> Score:
    return Score(task=task, metric="sari", system=system, value=value, n=40, low=value - 2, high=value + 2, seen=task != "reword")


def difference(task: str, detectable: float | None, p: float | None) -> Difference:
    return Difference(
        task=task,
        system="best",
        value=2.0,
        low=-1.0,
        high=5.0,
        n=40,
        p_value=p,
        p_corrected=None if p is None else min(1, 2 * p),
        detectable=detectable,
    )


def power_of(*differences: Difference) -> tuple[PowerRecord, ...]:
    return tuple(
        PowerRecord(
            task=item.task,
            n=item.n,
            detectable=item.detectable,
            interesting=3.0,
            rows_needed=None if item.detectable is None else int(40 * item.detectable),
            underpowered=item.detectable is None or item.detectable > 3,
        )
        for item in differences
    )


DIFFERENCES = (difference("clarity", 6.25, 0.2), difference("reword", 2.5, 0.0004), difference("mean of seen", None, 1.0))
BEST = SystemRecord(
    name="best",
    scores=(score("clarity", "best", 42.0), score("reword", "best", 32.0)),
    differences=DIFFERENCES,
    power=power_of(*DIFFERENCES),
    retention=-0.25,
)
BASE = SystemRecord(name="base", scores=(score("clarity", "base", 40.0), score("reword", "base", 30.0)), retention=0.0)
HUMAN = SystemRecord(name="human", scores=(score("clarity", "human", 60.0),))


def test_a_system_without_a_task_has_a_dash_and_keeps_its_column() -> None:
    lines = table_lines([HUMAN, BASE, BEST])
    assert lines[0].split() == ["task", "metric", "n", "human", "base", "best"]
    assert lines[1].split("  ")[0] == "clarity"
    assert "60.0 [58.0, 62.0]" in lines[1]
    reword = next(line for line in lines if line.startswith("reword (unseen)"))
    assert reword.split()[4] == "-"
    assert reword.index("30.0") == lines[0].index("base")


def test_p_values_power_and_the_rows_that_are_needed_stand_beside_each_difference() -> None:
    lines = table_lines([BASE, BEST])
    rows = {line.split("  ")[0]: line for line in lines[lines.index("") + 1 :]}
    assert rows["best - base"].split("  ")[-1] == "rows for 3"
    assert "+2.0 [-1.0, +5.0]" in rows["clarity"]
    assert rows["clarity"].split()[-5:] == ["0.200", "0.400", "6.2", "!", "250"]
    assert rows["reword"].split()[-4:] == ["<0.001", "<0.001", "2.5", "100"]
    assert rows["mean of seen"].split()[-4:] == ["1.000", "-", "!", "-"]
    assert "! underpowered: these rows cannot show a difference of 3 points" in lines
    assert lines[-1] == "best retention: -0.250 nats a token against base (0: nothing lost)"


def test_where_every_row_counts_enough_nothing_is_marked() -> None:
    strong = (difference("clarity", 2.0, 0.01),)
    power = power_of(*strong)
    text = "\n".join([*difference_lines("a - b", strong, power), *legend(power)])
    assert "!" not in text
    assert "underpowered" not in text


def test_other_numbers_of_rows_get_a_column_each() -> None:
    lines = difference_lines(
        "a - b", DIFFERENCES, power_of(*DIFFERENCES), at_rows={30: {"clarity": 7.1, "reword": None}, 400: {"clarity": 2.0}}
    )
    assert lines[0].endswith("30 rows show  400 rows show")
    assert lines[1].split()[-2:] == ["7.1", "2.0"]
    assert lines[2].split()[-2:] == ["-", "-"]


def test_records_without_power_still_make_a_table() -> None:
    old = SystemRecord(name="best", scores=BEST.scores, differences=(difference("clarity", None, None),))
    lines = table_lines([BASE, old])
    assert "rows for" not in "\n".join(lines)
    assert next(line for line in lines if "+2.0" in line).split()[-3:] == ["-", "-", "-"]
    assert table_lines([]) == []
