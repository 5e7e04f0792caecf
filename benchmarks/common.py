"""What all benchmarks share: their options, the environment they name, and how rows and figures are printed.

`python benchmarks/NAME.py --json` prints one object: `environment` (processor, cores, versions, commit, load), `figures`
(name -> number) and `rows`, every single measurement with those of the rivals. `--quick` gives a smaller run within a minute.
Rivals run in the same call, in alternation with ours, and a speed-up is the median of the ratios of one alternation each.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from mixwright import environment
from mixwright.errors import DataError

ROOT = Path(__file__).resolve().parent.parent
sys.path += [
    str(ROOT),
    *(str(ROOT / "tests" / room) for room in ("evaluate", "golden")),
]  # for plain definitions and readers of public texts

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One run of one side."""

    what: str
    side: str
    round: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a benchmark found."""

    figures: Mapping[str, float]
    rows: Sequence[Measurement]


def arguments(description: str, *, rounds: int = 3) -> argparse.Namespace:
    """The options of every benchmark."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help="a smaller run, within a minute")
    parser.add_argument(
        "--rounds", type=int, default=rounds, metavar="N", help="alternations of ours and the rivals (default %(default)s)"
    )
    return parser.parse_args()


def data_folder() -> Path:
    """The folder of public research files.

    Raises:
        DataError: it is not there.
    """
    folder = Path(os.environ.get("MIXWRIGHT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; set MIXWRIGHT_DATA to the folder that holds jfleg/, asset/ and cweb/")
    return folder


def in_own_process(function: Callable[..., T], *given: Any) -> T:
    """What it gives in a process of its own: one side leaves nothing of its patches, memory and threads to the next. What libraries
    there say on standard output goes to standard error."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=_speak_on_stderr) as pool:
        return pool.submit(function, *given).result()


def _speak_on_stderr() -> None:
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` gives, and the seconds of wall time that it took."""
    gc.collect()
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def speedup(rows: Sequence[Measurement], ours: str, rival: str, what: Sequence[str] | str) -> float:
    """The median over rounds of the rival's seconds by ours; each side's seconds of a round are summed over `what`."""
    names = [what] if isinstance(what, str) else what
    rounds = sorted({row.round for row in rows if row.what in names and row.side == ours})

    def seconds(side: str, number: int) -> float:
        return sum(row.seconds for row in rows if row.what in names and row.side == side and row.round == number)

    return statistics.median(seconds(rival, number) / seconds(ours, number) for number in rounds)


def publish(outcome: Outcome, started_load: float, *, as_json: bool) -> None:
    """Prints an outcome; `started_load` is what `load()` said before the first measurement."""
    described: dict[str, Any] = {**environment.describe(), "load_before": started_load}
    if as_json:
        rows = [{**asdict(row), "seconds": round(row.seconds, 4)} for row in outcome.rows]
        json.dump({"environment": described, "figures": dict(outcome.figures), "rows": rows}, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    machine = f"{described['processor']}, {described['cores']} cores, commit {described['commit']}, load before {started_load}"
    measured = [f"  round {row.round}  {row.what:<16} {row.side:<24} {row.seconds:9.3f} s" for row in outcome.rows]
    found = [f"{name:<28} {figure:.4g}" for name, figure in outcome.figures.items()]
    sys.stdout.write("\n".join([machine, *measured, *found]) + "\n")


def load() -> float:
    """How many processes wanted a processor, on the mean of the last minute."""
    return round(os.getloadavg()[0], 2)
