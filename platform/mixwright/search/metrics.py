"""Figures of a running search for Prometheus, through Ray's exporter: the driver's node tells them at its metrics port.

What comes in: what Tune says of trials, their records, and the last line of each running trial's metrics.jsonl. What goes out:
gauges, a counter and a histogram, named `ray_mixwright_sweep_...` there (a counter ends in `_total`), each tagged with the sweep's
name. deploy/monitoring has a Grafana dashboard over exactly these.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter as Tally
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from ray import tune
from ray.util.metrics import Counter, Gauge, Histogram, Metric

from mixwright.records import TrialRecord
from mixwright.search.objective import complete, final_objectives
from mixwright.train.lane import TRIAL_KEY
from mixwright.train.reporter import METRICS_FILE, trial_folder

EVERY_S = 5.0
"""So often everything is told again: Ray hands a gauge on every 10 s, and drops one that has not been told for 20 s."""
TAIL_BYTES = 4096
"""Of a metrics.jsonl, of which the last line is wanted: more than one."""
SWITCH_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]
_KEPT: list[Metric] = []
"""Ray forgets a figure with its object, and the end of a search would never be handed on."""
STATES = ("left", "running", "complete", "stopped", "failed")


class SweepMetrics(tune.Callback):
    """Tells how a search stands; comes after the `TrialRecorder` among the callbacks, whose records it reads.

    Args:
        ended: grows while the search runs; what stands in it at the start is not told of as new.
        trials: of the whole search.
    """

    def __init__(self, sweep: str, run_dir: Path, ended: Sequence[TrialRecord], trials: int) -> None:
        self._run_dir, self._ended, self._trials = run_dir, ended, trials
        self._known = 0
        self._states = Tally[str]()
        self._best_seen = self._best_unseen = -math.inf
        self._running: set[str] = set()
        self._losses: dict[str, int] = {}
        """Lane -> times that it is known to have lost its workers."""
        self._told_at = float("-inf")
        names = ("sweep",)
        self._by_state = Gauge("mixwright_sweep_trials", "Trials by state.", ("sweep", "state"))
        self._seen = Gauge("mixwright_sweep_best_seen", "Highest seen of a complete trial, 0 to 100.", names)
        self._unseen = Gauge("mixwright_sweep_best_unseen", "Highest unseen of a complete trial, 0 to 100.", names)
        self._tokens = Gauge("mixwright_sweep_tokens_per_second", "Running trials' last steps added up.", names)
        self._mfu = Gauge("mixwright_sweep_mfu", "Model FLOPs utilisation, 0 to 1: mean over running trials' last steps.", names)
        self._switch = Histogram(
            "mixwright_sweep_switch_seconds", "Decision on a trial to the first step of the lane's next.", SWITCH_SECONDS, names
        )
        self._retries = Counter("mixwright_sweep_retries", "Workers or lanes lost and started again.", ("sweep", "lost"))
        metrics = (self._by_state, self._seen, self._unseen, self._tokens, self._mfu, self._switch, self._retries)
        for metric in metrics:
            metric.set_default_tags({"sweep": sweep})
        _KEPT[:] = metrics
        self._take_up()
        self._tell()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, as in `TrialSearch`."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._running.add(trial.config[TRIAL_KEY])
        self._tell()

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        losses, known = result.get("losses", 0), self._losses.get(result["lane"], 0)
        # A lane that was started again, under the same name, counts from 0.
        if fresh := losses - known if losses >= known else losses:
            self._retries.inc(fresh, tags={"lost": "workers"})
        self._losses[result["lane"]] = losses

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._retries.inc(tags={"lost": "lane"})

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._over(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._over(trial)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Tune calls this some times a second."""
        if time.monotonic() - self._told_at < EVERY_S:
            return
        self._told_at = time.monotonic()
        self._tell()
        self._tell_steps()

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        self._running.clear()
        self._tell()
        self._tell_steps()

    def _over(self, trial: Any) -> None:
        self._running.discard(trial.config[TRIAL_KEY])
        for record in self._take_up():
            if record.switch_seconds is not None:
                self._switch.observe(record.switch_seconds)
        self._tell()

    def _take_up(self) -> Sequence[TrialRecord]:
        """Records that have come since the last call, added to what is known; all of them again each time would add up."""
        fresh = self._ended[self._known :]
        self._known += len(fresh)
        self._states.update(record.status for record in fresh)
        found = [final_objectives(record) for record in complete(list(fresh))]
        self._best_seen = max(self._best_seen, *(objectives.seen for objectives in found), -math.inf)
        unseen = (objectives.unseen for objectives in found if objectives.unseen is not None)
        self._best_unseen = max(self._best_unseen, *unseen, -math.inf)
        return fresh

    def _tell(self) -> None:
        counts = {**self._states, "running": len(self._running), "left": self._trials - self._known - len(self._running)}
        for state in STATES:
            self._by_state.set(counts.get(state, 0), tags={"state": state})
        for gauge, value in ((self._seen, self._best_seen), (self._unseen, self._best_unseen)):
            if math.isfinite(value):
                gauge.set(value)

    def _tell_steps(self) -> None:
        files = [trial_folder(self._run_dir, key) / METRICS_FILE for key in self._running]
        steps = [step for path in files if (step := last_step(path)) is not None]
        self._tokens.set(sum(step["tokens_per_second"] for step in steps))
        self._mfu.set(fmean(mfus) if (mfus := [step["mfu"] for step in steps if step["mfu"] is not None]) else 0.0)


def last_step(path: Path) -> dict[str, Any] | None:
    """The last whole line of a metrics.jsonl; None where there is none yet, or where the store does not answer."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return None
    step: dict[str, Any] | None = json.loads(lines[-1]) if lines and lines[-1] else None
    return step
