"""Which adapters are in memory: loaded when first asked for, the one longest unused let go of at a limit, replaced ones read anew.

What comes in: adapters by name, and where each one stands on disk. What goes out: the name that the engine knows it under, for as
long as a request is in work. Each load has a name of its own, so rows of an adapter that has been replaced end with what they began
with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mixwright.errors import ModelError
from mixwright.records import BASE

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A complete adapter on disk."""

    folder: Path
    stamp: tuple[int, ...]
    """Another one where the folder has been replaced."""


class HoldsAdapters(Protocol):
    """The part of an engine that adapters come to."""

    async def hold(self, name: str, folder: Path) -> None:
        """Takes an adapter in; requests may ask for it by this name afterwards.

        Raises:
            ModelError: it cannot be read, or does not fit.
        """
        ...

    async def release(self, name: str) -> None:
        """Lets go of an adapter that no request is in work for, and of its memory."""
        ...


@dataclass(kw_only=True, eq=False)
class _Resident:
    inner: str
    stamp: tuple[int, ...]
    users: int = 0
    used: int = 0
    """When last, in requests."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Since the start, but for what is held now."""

    held: int
    loaded: int
    evicted: int


class Residents:
    """The adapters of one engine, for one event loop."""

    def __init__(self, engine: HoldsAdapters, locate: Callable[[str], Found | Awaitable[Found]], *, most: int) -> None:
        """Loads nothing yet.

        Args:
            locate: where an adapter of this name stands now, awaited where it has to come from elsewhere; a ModelError where there
                is none.
            most: adapters in memory at a time; requests for further ones wait until one is no longer in use.
        """
        self._engine, self._locate, self._most = engine, locate, most
        self._held: dict[str, _Resident] = {}
        self._outdated: set[_Resident] = set()
        self._refused: dict[str, tuple[tuple[int, ...], str]] = {}
        self._leaving: asyncio.Task[None] | None = None
        self._change = asyncio.Condition()
        self._loading = asyncio.Lock()
        self._clock = self._loaded = self._evicted = 0

    @property
    def counts(self) -> Counts:
        return Counts(held=len(self._held) + len(self._outdated), loaded=self._loaded, evicted=self._evicted)

    @asynccontextmanager
    async def using(self, name: str) -> AsyncIterator[str]:
        """The engine's name of an adapter, which stays in memory until the block ends.

        Raises:
            ModelError: there is no such adapter, or it cannot be loaded.
        """
        if name == BASE:
            yield BASE
            return
        resident = await self._resident(name)
        try:
            yield resident.inner
        finally:
            await self._left(resident)

    async def _resident(self, name: str) -> _Resident:
        """Of the adapter as it stands on disk now, counted as in use."""
        located = self._locate(name)
        found = located if isinstance(located, Found) else await located
        if (resident := self._current(name, found)) is not None:
            return self._counted(resident)
        bringing = asyncio.ensure_future(self._bring(name, found))
        try:
            return await asyncio.shield(bringing)  # a client that goes away must not leave half an adapter
        except asyncio.CancelledError:
            bringing.add_done_callback(self._nobody_waits)
            raise

    async def _bring(self, name: str, found: Found) -> _Resident:
        async with self._loading:  # one after the other: each needs the disk, and the place that another leaves
            return self._counted(self._current(name, found) or await self._load(name, found))

    def _counted(self, resident: _Resident) -> _Resident:
        self._clock += 1
        resident.users, resident.used = resident.users + 1, self._clock
        return resident

    def _nobody_waits(self, bringing: asyncio.Future[_Resident]) -> None:
        if not bringing.cancelled() and bringing.exception() is None:
            self._leaving = asyncio.ensure_future(self._left(bringing.result()))

    def _current(self, name: str, found: Found) -> _Resident | None:
        resident = self._held.get(name)
        return resident if resident is not None and resident.stamp == found.stamp else None

    async def _load(self, name: str, found: Found) -> _Resident:
        stamp, refusal = self._refused.get(name, ((), ""))
        if refusal and stamp == found.stamp:
            raise ModelError(refusal)
        if (old := self._held.pop(name, None)) is not None:
            self._outdated.add(old)
        await self._make_room()
        self._loaded += 1
        resident = _Resident(inner=f"{name.rpartition('/')[2].replace('.', '_')}~{self._loaded}", stamp=found.stamp)
        try:
            await self._engine.hold(resident.inner, found.folder)
        except ModelError as error:
            self._refused[name] = found.stamp, str(error)
            raise
        self._held[name] = resident
        logger.info("loaded adapter %s", name)
        return resident

    async def _make_room(self) -> None:
        """Lets the adapter go that was asked for longest ago; waits where all are in use."""
        await self._drop_outdated()
        while len(self._held) + len(self._outdated) >= self._most:
            idle = [(resident.used, name) for name, resident in self._held.items() if not resident.users]
            if not idle:
                async with self._change:
                    await self._change.wait()
                continue
            _, name = min(idle)
            await self._engine.release(self._held.pop(name).inner)
            self._evicted += 1
            logger.info("evicted adapter %s, the limit is %d", name, self._most)

    async def _left(self, resident: _Resident) -> None:
        """One request fewer uses it."""
        resident.users -= 1
        if not resident.users:
            await self._drop_outdated()
            async with self._change:
                self._change.notify_all()

    async def _drop_outdated(self) -> None:
        for resident in [resident for resident in self._outdated if not resident.users]:
            if resident in self._outdated:  # another may have been quicker
                self._outdated.discard(resident)
                await self._engine.release(resident.inner)
