"""Which adapters there are: those of the run, every trial's, and by path where the operator allows it.

What comes in: folders. What goes out: names, as they are on disk now, and where each one stands. A name is looked up among folders
that were found, so it cannot lead out of the store; a folder counts once its completion marker is there. Those of a run on object
storage are listed there, and come to a node when they are first asked for.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import overload

from mixwright.errors import ModelError, StoreError, did_you_mean
from mixwright.generate.loading import adapter_folders
from mixwright.generate.residents import Found
from mixwright.models import ADAPTER_WEIGHTS, COMPLETE
from mixwright.records import BASE
from mixwright.store.remote import Mirror
from mixwright.store.runs import TRIALS_FILE

logger = logging.getLogger(__name__)

FRESH_S = 1.0
"""So long a look at the disk counts as new."""
FRESH_THERE_S = 5.0
"""The same of a look at object storage."""
ADAPTER_FOLDER = "adapter"
TRIAL_ADAPTERS = f"*/{ADAPTER_FOLDER}/{COMPLETE}"


class AdapterStore:
    """Adapters on disk, by name."""

    def __init__(self, folder: Path | None, trials: Path | None = None, *, allow_paths: bool = False) -> None:
        """Reads nothing yet.

        Args:
            folder: with one folder an adapter; a run's `adapters`.
            trials: with one folder a trial; its id is the name of the adapter in it.
            allow_paths: an absolute path is a name too.
        """
        self._folder, self._trials, self._allow_paths = folder, trials, allow_paths
        self._roots = [root.resolve() for root in (folder, trials) if root]
        self._found: dict[str, Path] = {}
        self._looked = float("-inf")

    def names(self) -> list[str]:
        """Of adapters that are complete; those of the run come first."""
        self._look()
        return list(self._found)

    def holds(self, name: str) -> bool:
        """Whether there is such an adapter now."""
        try:
            self.locate(name)
        except ModelError:
            return False
        return True

    def locate(self, name: str) -> Found:
        """Where an adapter stands.

        Raises:
            ModelError: there is none of this name, or a path that may not be served.
        """
        folder = self._by_path(name) if os.sep in name else self._by_name(name)
        stamp = _stamp(folder)
        if stamp is None:
            raise ModelError(f"{name}: is no complete adapter; it has no {COMPLETE}")
        return Found(folder=folder, stamp=stamp)

    def _by_name(self, name: str) -> Path:
        if name not in self._found or _stamp(self._found[name]) is None:
            self._look()
        if name not in self._found and not self._has_come(name):
            known = [BASE, *self._found]
            raise ModelError(f"no adapter '{name}'; there are {', '.join(known)}{did_you_mean(name, known)}")
        return self._found[name]

    def _has_come(self, name: str) -> bool:
        """Looks for one adapter only: another replica may have seen it since this one looked at the disk."""
        if not name or name[0] == "." or "\0" in name or name == BASE:
            return False
        places = ((self._folder, Path(name)), (self._trials, Path(name, ADAPTER_FOLDER)))
        for root, place in places:
            if root and _stamp(root / place) and _within(root / place, self._roots):
                self._found[name] = root / place
                return True
        return False

    def _by_path(self, name: str) -> Path:
        if not self._allow_paths:
            raise ModelError(f"'{name}': adapters are served by name; set serve.allow_adapter_paths to serve them by path too")
        if not os.path.isabs(name) or os.path.normpath(name) != name:
            raise ModelError(f"'{name}': must be an absolute path without `..`, `.` or a slash at its end")
        return Path(name)

    def _look(self) -> None:
        """What is on disk, unless it has just been looked at."""
        if time.monotonic() - self._looked < FRESH_S:
            return
        found = adapter_folders(self._folder) if self._folder else {}
        for marker in sorted(self._trials.glob(TRIAL_ADAPTERS)) if self._trials else ():
            found.setdefault(marker.parent.parent.name, marker.parent)
        self._found = {name: path for name, path in found.items() if name != BASE and _within(path, self._roots)}
        self._looked = time.monotonic()


class RemoteAdapterStore(AdapterStore):
    """Adapters of a run on object storage.

    A store that is away costs nothing but what is new there: names are those of the last look, and an adapter that has been brought
    is served as it is.
    """

    def __init__(self, address: str, *, serves_trials: bool = True, allow_paths: bool = False) -> None:
        """Reads nothing yet.

        Args:
            address: of the run.
            serves_trials: its trials' adapters too.
        """
        self._there = Mirror(address, patience_s=0.0)
        super().__init__(self._there.local / "adapters", self._there.local / "trials", allow_paths=allow_paths)
        self._serves_trials = serves_trials
        self._listed: dict[str, Path] = {}
        self._listed_at = float("-inf")
        self._brought_at: dict[str, float] = {}
        self._listing = threading.Lock()

    def names(self) -> list[str]:
        """As of the last look, after which another one is taken; only the first is waited for."""
        if self._listed_at == float("-inf"):
            self._list()
        elif time.monotonic() - self._listed_at > FRESH_THERE_S:
            threading.Thread(target=self._list, daemon=True).start()
        return list(self._listed)

    def holds(self, name: str) -> bool:
        if os.sep in name:
            return super().holds(name)
        if name not in self.names() and time.monotonic() - self._listed_at > FRESH_S:
            self._list()
        return name in self._listed

    def locate(self, name: str) -> Found:
        """Where an adapter stands on this node, once it has been brought; may take as long as it takes to travel."""
        if os.sep not in name and self.holds(name) and time.monotonic() - self._brought_at.get(name, float("-inf")) > FRESH_THERE_S:
            try:
                self._there.fetch_folder(self._listed[name], COMPLETE)
            except StoreError as error:
                logger.warning("%s; serving what is here", error)
            self._brought_at[name] = time.monotonic()
        return super().locate(name)

    def _list(self) -> None:
        """Names at the address: the run's own adapters, and those of trials that have their record."""
        if not self._listing.acquire(blocking=False):
            return
        try:
            found = {name: self._there.local / "adapters" / name for name in self._there.names(self._there.local / "adapters")}
            for line in (self._there.read(TRIALS_FILE) or b"").splitlines() if self._serves_trials else ():
                record = json.loads(line)
                if record["adapter"] == f"trials/{record['trial_id']}/{ADAPTER_FOLDER}":
                    found.setdefault(record["trial_id"], self._there.local / record["adapter"])
            self._listed = {name: path for name, path in found.items() if name != BASE and name[0] != "."}
        except StoreError as error:
            logger.warning("%s; adapters that have come since the last look are not known", error)
        finally:
            self._listed_at = time.monotonic()
            self._listing.release()


def _within(path: Path, roots: Sequence[Path]) -> bool:
    """Whether a folder really stands in the store, wherever links lead."""
    real = path.resolve()
    return any(real.is_relative_to(root) for root in roots)


def _stamp(folder: Path) -> tuple[int, ...] | None:
    """Another one after each replacement; None where the folder is not complete."""
    try:
        marker = (folder / COMPLETE).stat()
    except OSError:
        return None
    try:
        weights = (folder / ADAPTER_WEIGHTS).stat()
    except OSError:
        return marker.st_mtime_ns, marker.st_size, marker.st_ino
    return marker.st_mtime_ns, marker.st_size, marker.st_ino, weights.st_mtime_ns, weights.st_size


def locating(store: AdapterStore) -> Callable[[str], Found | Awaitable[Found]]:
    """`locate` for an event loop, which an adapter's journey from object storage must not hold up."""
    return (lambda name: asyncio.to_thread(store.locate, name)) if isinstance(store, RemoteAdapterStore) else store.locate


class StoredNames(Sequence[str]):
    """The names of a store as they are whenever it is asked; paths that it serves are in it too, though it does not list them."""

    def __init__(self, store: AdapterStore) -> None:
        self._store = store

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._store.holds(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.names())

    def __len__(self) -> int:
        return len(self._store.names())

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self._store.names()[index]
