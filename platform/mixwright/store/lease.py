"""Which sweep writes to a run at an address: a note there that its process renews, where object storage has no locks.

What comes in: a `Mirror`. What goes out: a `Lease` that this process holds until it ends. A sweep that finds another's note watches
it: a note that changes is of one that lives, and the sweep is refused; one that stays as it is for `EXPIRED_S` is of one that was
killed, and is taken over, at once where that process was on this machine and is gone. It is a lease and no lock: two sweeps that
start within the same moment may both begin. The one whose note was overwritten sees so when it next renews or records a trial, and
ends.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from mixwright.errors import RunError, StoreError
from mixwright.store.remote import Mirror

logger = logging.getLogger(__name__)

LEASE_FILE = "lease.json"
RENEW_S = 10.0
EXPIRED_S = 40.0
LOOK_S = 2.0
_LEASES: dict[str, Lease] = {}


def take_lease(address: str) -> None:
    """Makes this process the one that writes to a run, for as long as it lives.

    Raises:
        RunError: another sweep does.
        StoreError: the store does not answer.
    """
    if address not in _LEASES:
        lease = Lease(Mirror(address))
        lease.take()
        _LEASES[address] = lease
        lease.keep(Mirror(address, patience_s=0.0))


def check_lease(address: str) -> None:
    """Refuses to go on where another sweep has taken the run over; a process without a lease may do as it likes.

    Raises:
        RunError: it has.
    """
    if (lease := _LEASES.get(address)) and lease.is_lost:
        raise RunError(f"{address}: another sweep has taken this run over; nothing more is written to it from here")


class Lease:
    """A note of this process."""

    def __init__(self, there: Mirror) -> None:
        self._there = there
        self._note = {"id": secrets.token_hex(8), **_this_process()}
        self._renewed = 0
        self._ended = threading.Event()
        self.is_lost = False

    def take(self) -> None:
        """Waits until a note that stands there has expired, then writes one.

        Raises:
            RunError: another sweep renews its own.
        """
        if (held := self._read()) and not _has_ended_here(held):
            self._wait_for(held)
        self._write()
        if (found := self._read()) is None or found["id"] != self._note["id"]:
            raise self._refusal(found or {})

    def keep(self, there: Mirror) -> None:
        """Renews it until the process ends, then takes it away.

        Args:
            there: one that does not wait for a store: the next turn comes soon.
        """
        self._there = there
        threading.Thread(target=self._renew, daemon=True).start()
        atexit.register(self.release)

    def release(self) -> None:
        """Takes the note away, if it is still ours."""
        self._ended.set()
        try:
            if (found := self._read()) and found["id"] == self._note["id"]:
                self._there.publish_bytes(LEASE_FILE, b"{}")
        except StoreError as error:
            logger.debug("%s", error)  # the note expires

    def _renew(self) -> None:
        while not self._ended.wait(RENEW_S):
            try:
                found = self._read()
                if found is not None and found["id"] != self._note["id"]:
                    self.is_lost = True
                    return
                self._write()
            except StoreError as error:
                logger.debug("%s", error)  # the next turn comes soon

    def _wait_for(self, held: dict[str, Any]) -> None:
        logger.info(
            "%s: a sweep on %s wrote here and did not end; looking for %.0f s whether it still does",
            self._there.address,
            held.get("host", "another machine"),
            EXPIRED_S,
        )
        until = time.monotonic() + EXPIRED_S
        while time.monotonic() < until:
            time.sleep(LOOK_S)
            found = self._read()
            if found is None:
                return
            if found != held:
                raise self._refusal(found)

    def _refusal(self, found: dict[str, Any]) -> RunError:
        where = f"process {found.get('pid')} on {found.get('host')}"
        return RunError(
            f"{self._there.address}: another sweep is writing to this run ({where}); wait for it, or give another --run-dir"
        )

    def _read(self) -> dict[str, Any] | None:
        content = self._there.read(LEASE_FILE)
        try:
            note = json.loads(content) if content else None
        except ValueError:
            return None
        return note if isinstance(note, dict) and "id" in note else None

    def _write(self) -> None:
        self._renewed += 1
        self._there.publish_bytes(LEASE_FILE, json.dumps({**self._note, "renewed": self._renewed}).encode())


def _this_process() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip(),
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
    }


def _has_ended_here(held: dict[str, Any]) -> bool:
    """Whether a note is of a process of this machine that is gone."""
    here = _this_process()
    if (held.get("host"), held.get("boot")) != (here["host"], here["boot"]):
        return False
    try:
        return bool(psutil.Process(held["pid"]).create_time() != held["started"])
    except psutil.NoSuchProcess:
        return True
