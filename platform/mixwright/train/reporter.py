"""What training says of itself: one report a step and one a rung, to whoever listens.

What comes in: counts and seconds from the loop. What goes out: `StepReport` and `RungRecord` through a `Reporter`. The loop knows
this Protocol and nothing of Ray: `FolderReporter` writes files and log lines anywhere, the one of Ray Train stands in lane.py, and
`mixwright.testing` has one that collects.
"""

from __future__ import annotations

import json
import logging
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from mixwright.records import RungRecord, append_line
from mixwright.train import hardware, workers
from mixwright.train.flops import ModelFlops

logger = logging.getLogger(__name__)

METRICS_FILE = "metrics.jsonl"
MIXTURE_FILE = "mixture.json"
"""The counts of what a trial learns."""
ROWS_FILE = "rows.json"
"""Of a trial that ran its whole budget: by trained task, what each dev row adds to the score."""
BASE_FILE = Path("trials") / "base.json"
"""In a run folder: the dev evaluation of the base model."""
RECENT_STEPS = 10
"""Steps behind the time left; the first one of a process is slow and should not be remembered for ever."""


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """One optimiser step. All but the first two fields are the keys of metrics.jsonl."""

    trial_id: str
    total_steps: int
    step: int
    """From 1."""
    examples: int
    """Learned by the trial so far."""
    tokens: int
    """Prompt and response, by the trial so far."""
    loss: float
    """Mean over the step's learned tokens, nats a token."""
    learning_rate: float
    grad_norm: float | None
    seconds: float
    tokens_per_second: float
    """Real tokens of all workers, prompt and response; padding does not count."""
    mfu: float | None
    """Model FLOPs utilisation in [0, 1]: the step's work (flops.py) by what all workers' matrix products could have done in its
    time; None where the peak was not measured."""
    memory_gib: float
    """Of worker 0, the most so far: the process's on a CPU, torch's tensors on a GPU."""
    seconds_left: float
    """Of training, at the pace of the last steps."""


def learned_rows(folder: Path) -> dict[str, Any]:
    """Counts of a trial's mixture, as its record has them, from the trial's folder; none where the trial did not come as far."""
    try:
        rows = json.loads((folder / MIXTURE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {name: rows[name] for name in ("counts", "distinct", "noised") if name in rows}


class Reporter(Protocol):
    """Listens to training. Who speaks of a step is worker 0 alone; a rung is told by every worker."""

    def step(self, report: StepReport) -> None:
        """Takes a step of the trial."""
        ...

    def rung(self, trial_id: str, record: RungRecord) -> None:
        """Takes a rung of the trial."""
        ...


class FolderReporter:
    """A line a step in the trial's metrics.jsonl and in the log; the log has rungs too."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir

    def step(self, report: StepReport) -> None:
        line = {key: value for key, value in asdict(report).items() if key not in ("trial_id", "total_steps")}
        append_line(trial_folder(self._run_dir, report.trial_id) / METRICS_FILE, json.dumps(line))
        logger.info(step_line(report))

    def rung(self, trial_id: str, record: RungRecord) -> None:
        if workers.rank() == 0:
            logger.info(rung_line(trial_id, record))


def trial_folder(run_dir: Path, trial_id: str) -> Path:
    """Where a trial keeps its numbers, checkpoint and adapter."""
    return run_dir / "trials" / trial_id


def step_line(report: StepReport) -> str:
    """One step in words, units included."""
    parts = [
        f"{report.trial_id} step {report.step}/{report.total_steps}",
        f"loss {report.loss:.3f} nats/token",
        f"{report.seconds:.2f} s",
        f"{report.tokens_per_second:,.0f} tokens/s",
        *([] if report.mfu is None else [f"MFU {100 * report.mfu:.0f} %"]),
        f"{report.memory_gib:.1f} GiB",
        f"about {report.seconds_left:.0f} s of training left",
    ]
    return "  ".join(parts)


def rung_line(trial_id: str, record: RungRecord) -> str:
    """A rung's objectives in words."""
    objectives = record.objectives
    unseen = "" if objectives.unseen is None else f"  unseen {objectives.unseen:.1f}"
    return f"{trial_id} at step {record.step}: seen {objectives.seen:.1f}{unseen}  retention {objectives.retention:+.3f} nats"


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What one step was worth; see the fields of `StepReport`."""

    tokens_per_second: float
    mfu: float | None
    memory_gib: float
    seconds_left: float


class Meter:
    """Counts and seconds of a trial's steps -> rates. One for each stay of a trial on a worker: it remembers the pace."""

    def __init__(self, flops: ModelFlops, peak_flops: float | None, device: str) -> None:
        self._flops, self._peak_flops, self._device = flops, peak_flops, device
        self._recent: deque[float] = deque(maxlen=RECENT_STEPS)

    def rates(self, *, lengths: Sequence[int], computed: float, learned: int, seconds: float, steps_left: int) -> Rates:
        """Of the step just taken, over all workers.

        Args:
            lengths: tokens of the step's rows.
            computed: tokens that went through the layers: a prefix that rows of a pass share goes through them once.
            learned: response tokens.
        """
        self._recent.append(seconds)
        peak = self._peak_flops and self._peak_flops * workers.world_size()
        work = self._flops.of_step(lengths, computed=computed, learned=learned)
        return Rates(
            tokens_per_second=sum(lengths) / seconds,
            mfu=work / seconds / peak if peak else None,
            memory_gib=hardware.used_gib(self._device),
            seconds_left=statistics.median(self._recent) * steps_left,
        )
