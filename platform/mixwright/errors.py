"""The family of errors, and how a job turns one into a single clear line.

    MixwrightError
    ├── ConfigError     a key or value in a YAML file or on the command line
    ├── DataError       a data file: missing, empty, not UTF-8, a broken row
    ├── MixtureError    counts that the data cannot give
    ├── ModelError      a folder or hub id that is no usable causal LM, or an adapter that does not fit it
    ├── HardwareError   a device or a resource that is not there
    ├── TrainError      a fine-tune that cannot go on: a loss that is not a number, a checkpoint of another trial
    │   └── OutOfMemoryError    it does not fit into a worker's memory
    ├── ScoreError      inputs a metric cannot be computed on
    ├── RunError        a run folder that holds another configuration, or nothing to resume
    │   └── StoreError          object storage that does not answer, or refuses us
    └── ServeError      an endpoint that cannot start or does not answer

A message names the thing, the rule, the value and the way out. A user's mistake raises one of these and is shown without
a traceback; everything else is a fault of our own and keeps its traceback.
"""

from __future__ import annotations

import difflib
import logging
import shlex
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import NoReturn

USER_ERROR_EXIT_CODE = 2
SIGNALLED_EXIT_CODE = 128
"""To which a shell adds the signal's number: 130 for Ctrl-C, 143 for SIGTERM."""


class MixwrightError(Exception):
    """Anything a user can mend; its text is one line or a short list of lines."""


class ConfigError(MixwrightError):
    """A key or a value of a configuration breaks a rule."""


class DataError(MixwrightError):
    """A data file is missing, empty, not UTF-8, or has a broken row."""


class MixtureError(MixwrightError):
    """The data cannot give the counts that the mixture asks for."""


class ModelError(MixwrightError):
    """A base model or adapter cannot be loaded or does not fit."""


class HardwareError(MixwrightError):
    """A device or resource is asked for that is not there."""


class TrainError(MixwrightError):
    """A fine-tune cannot go on."""


class OutOfMemoryError(TrainError):
    """A fine-tune does not fit into a worker's memory; other workers may not have noticed."""


class ScoreError(MixwrightError):
    """A metric was given inputs that it is not defined on."""


class RunError(MixwrightError):
    """A run folder cannot be used as asked."""


class StoreError(RunError):
    """Object storage does not answer, or refuses us; a sweep ends, and no trial is to blame."""


class ServeError(MixwrightError):
    """An endpoint cannot start, or does not answer as it should."""


class Interrupted(KeyboardInterrupt):
    """A signal asked the process to end; no error, and nothing that `except Exception` should catch."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest of `choices`, or an empty string where none is close."""
    close = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def run_job(main: Callable[[], int], *, resumes: bool = False) -> NoReturn:
    """Runs a job's `main` and exits: its own code, 2 with one line on stderr for a user's mistake, or 128 and the signal's number.

    Args:
        resumes: the job takes --resume, and says how to go on when a signal ends it.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = main()
    except MixwrightError as error:
        sys.stderr.write(f"error: {error}\n")
        code = USER_ERROR_EXIT_CODE
    except KeyboardInterrupt as stop:
        number = stop.signal_number if isinstance(stop, Interrupted) else signal.SIGINT
        way_on = f"; what was finished is kept, go on with: {_resume_command()}" if resumes else ""
        sys.stderr.write(f"stopped by {'Ctrl-C' if number == signal.SIGINT else signal.Signals(number).name}{way_on}\n")
        code = SIGNALLED_EXIT_CODE + number
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted(number)


def _resume_command() -> str:
    """The present call with --resume, as a shell takes it."""
    python = Path(sys.executable)
    shown = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    arguments = [argument for argument in sys.argv if argument != "--resume"]
    return shlex.join([str(shown), *arguments, "--resume"])
