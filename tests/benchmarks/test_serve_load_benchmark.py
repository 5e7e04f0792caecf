from __future__ import annotations

import pytest
from tests.benchmarks.quick import quick_run

FIGURES = {"lost", "mixed_up", "p50_ms", "p95_ms", "p99_ms", "requests_per_second", "errors_retryable", "memory_growth_mib"}


@pytest.mark.slow
@pytest.mark.cluster
def test_a_quick_run_gives_the_documented_figures_and_every_answer_is_right() -> None:
    printed = quick_run("serve_load")
    figures = printed["figures"]
    assert figures.keys() >= FIGURES
    assert (figures["lost"], figures["mixed_up"], figures["replicas_killed"]) == (0, 0, 2)
    assert figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
    rows = {(row["what"], row["side"]) for row in printed["rows"]}
    assert rows == {(what, f"{count} clients") for what in ("p50", "p95", "p99", "requests") for count in (1, 4, 16, 64)}
