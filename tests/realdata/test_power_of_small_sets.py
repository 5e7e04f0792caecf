"""The case that the paper leaves open: 40 rows of clarity and 30 of coherence cannot show a difference of three points.

Two made-up systems revise IteraTeR's sentences: each hands back the human revision of one row in five, and the sentence as it is
otherwise. They differ by luck alone until one of them is given more revisions, which plants a difference of a known size.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from mixwright.evaluate.intervals import FloatArray, PairedStatistics
from mixwright.evaluate.metric import make_metric
from mixwright.evaluate.power import detectable_at, minimal_detectable_difference, rows_needed
from mixwright.evaluate.significance import randomisation_p_value

DATA = Path(os.environ.get("MIXWRIGHT_DATA", Path(__file__).parents[3] / "shared" / "data"))
ROWS = {"clarity": 40, "coherence": 30}
SHARE = 0.2
EXPERIMENTS = 300

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not (DATA / "iterater").is_dir(), reason=f"{DATA / 'iterater'} is not there; set MIXWRIGHT_DATA"),
]
METRIC = make_metric("sari")


@cache
def tables(task: str) -> tuple[FloatArray, FloatArray]:
    """SARI's row statistics of all rows of one intent: the sentence as it is, and its human revision."""
    from mixwright.config import SourceConfig
    from mixwright.data.readers import read

    source = SourceConfig(name="iterater", format="iterater", path="iterater", task=task)
    rows = read(source, DATA).examples
    texts, references = [row.text for row in rows], [row.references for row in rows]
    revised = [row.references[0] for row in rows]
    return METRIC.statistics(texts, texts, references), METRIC.statistics(texts, revised, references)


def system(task: str, rng: np.random.Generator, rows: np.ndarray, share: float) -> FloatArray:
    unchanged, revised = tables(task)
    return np.where((rng.random(len(rows)) < share)[:, None], revised[rows], unchanged[rows])


def pair_of(task: str, seed: int, rows: int, planted: float) -> tuple[FloatArray, FloatArray]:
    """Two systems on rows drawn from all; the first revises a share of `planted` more."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(tables(task)[0]), size=rows)
    return system(task, rng, chosen, SHARE + planted), system(task, rng, chosen, SHARE)


@pytest.mark.parametrize("task", ROWS)
def test_the_papers_sets_cannot_show_three_points(task: str) -> None:
    pair = PairedStatistics(METRIC, *pair_of(task, 1, 4000, 0.0))
    size = detectable_at(*pair, rows=ROWS[task], draws=1000, seed=2)
    assert size is not None
    assert size > 10
    needed = rows_needed([pair], 3.0)
    assert needed is not None
    assert needed > 20 * ROWS[task]
    assert detectable_at(*pair, rows=needed, draws=1000, seed=2) == pytest.approx(3.0, rel=0.06)


@pytest.mark.parametrize("task", ROWS)
def test_a_difference_of_the_stated_size_is_shown_about_four_times_in_five(task: str) -> None:
    def gain(planted: float) -> float:
        """True difference less the one that so few rows of the same systems are said to show."""
        better, baseline = pair_of(task, 3, 20_000, planted)
        size = detectable_at(METRIC, better[:4000], baseline[:4000], rows=ROWS[task], draws=400, seed=2)
        assert size is not None
        return METRIC.aggregate(better) - METRIC.aggregate(baseline) - size

    low, high = 0.0, 1 - SHARE
    for _ in range(7):
        middle = (low + high) / 2
        low, high = (middle, high) if gain(middle) < 0 else (low, middle)
    shown = [
        randomisation_p_value(METRIC, *pair_of(task, 100 + seed, ROWS[task], high), draws=399, seed=seed) <= 0.05
        for seed in range(EXPERIMENTS)
    ]
    assert 0.70 <= np.mean(shown) <= 0.92


@pytest.mark.parametrize("task", ROWS)
def test_as_few_rows_as_the_papers_find_about_the_size_that_many_rows_find(task: str) -> None:
    few = [minimal_detectable_difference(METRIC, *pair_of(task, seed, ROWS[task], 0.0), draws=300, seed=seed) for seed in range(20)]
    many = detectable_at(METRIC, *pair_of(task, 1, 4000, 0.0), rows=ROWS[task], draws=1000, seed=2)
    assert np.median([size for size in few if size is not None]) == pytest.approx(many, rel=0.25)
