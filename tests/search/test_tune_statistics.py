"""What Ray Tune reckons of a trial's numbers, read where Tune keeps it."""

from __future__ import annotations

from types import SimpleNamespace

from ray.tune.trainable.metadata import _TrainingRunMetadata

from mixwright.search.sweep import _forget_statistics


def test_statistics_go_with_the_trial_and_its_last_result_stays() -> None:
    kept = _TrainingRunMetadata()
    kept.last_result = {"seen": 2.0}
    for step, value in enumerate((1.0, 2.0), start=1):
        kept.update_metric("seen", value, step)
    assert kept.metric_analysis["seen"]["max"] == 2.0
    _forget_statistics(SimpleNamespace(run_metadata=kept))
    assert not kept.metric_analysis
    assert not kept.metric_n_steps
    assert kept.last_result == {"seen": 2.0}
