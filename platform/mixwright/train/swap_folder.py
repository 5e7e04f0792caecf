"""A folder for the files of offloaded state, for one worker process alone.

What comes in: `train.nvme_path`, which the lanes of a node share; DeepSpeed names its files after ranks and parameters, so two
lanes would write into each other's. What goes out: a folder of this process in it, which goes with the process. One that a killed
process has left behind is taken away by the next that comes: nobody holds its lock any more.
"""

from __future__ import annotations

import atexit
import fcntl
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mixwright.errors import HardwareError

PREFIX = "mixwright-"
LOCK_FILE = ".lock"
OF_OPTIMIZER = Path("zero_stage_3", "optimizer")
"""Where DeepSpeed puts an optimiser's state; what is beside it is the base model's."""


@functools.cache
def own_folder(nvme_path: str) -> Path:
    """The folder of this process; made at the first call.

    Raises:
        HardwareError: nothing can be written there.
    """
    place = Path(nvme_path).expanduser()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with _locked(place / LOCK_FILE):
            _drop_left_behind(place)
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
            lock = os.open(folder / LOCK_FILE, os.O_CREAT | os.O_RDWR)  # stays open, and so held, as long as the process lives
            fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        raise HardwareError(
            f"train.nvme_path: {error.strerror or error}: {place}; give a folder that workers can write to"
        ) from None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def drop_optimizer_files(nvme_path: str) -> None:
    """Frees the disk of a trial that has ended; each trial names its files anew."""
    shutil.rmtree(own_folder(nvme_path) / OF_OPTIMIZER, ignore_errors=True)


def _drop_left_behind(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(BlockingIOError), _locked(folder / LOCK_FILE, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(file: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    with file.open("a", encoding="utf-8") as lock:  # ends with the block, and the lock with it
        fcntl.flock(lock, how)
        yield
