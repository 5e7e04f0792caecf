"""Runs on object storage: a working folder on each node, and what is complete published at one address.

    --run-dir s3://bucket/runs/demo   ->   ~/.cache/mixwright/runs/demo-DIGEST on every node that works on it

What comes in: an address that pyarrow or fsspec knows (s3://, gs://, abfs://, hdfs://, file://). What goes out: a `Mirror`, whose
`local` is an ordinary folder: all stages read and write there, as in a run folder on a disk. A process publishes what it has
finished, and fetches what another node has. A file that stands alone (config.yaml, trials.jsonl) is put whole or not at all. A
folder counts once its marker is there, which is put last and names every file with size and digest: half an upload has no
marker, and what was cut short or replaced on the way is not what the marker says. The address is the truth, and the working
folder a copy that may be deleted.

A folder says itself that it is a copy (`.mirror.json`), so whoever writes into it need not be told: `publish`, `fetch` and the
others here do nothing for a folder on a disk.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from mixwright.errors import ConfigError, StoreError
from mixwright.models import cache_folder
from mixwright.records import write_text

logger = logging.getLogger(__name__)

MIRROR_FILE = ".mirror.json"
"""In a working folder: whose copy it is."""
LOCK_FILE = ".lock"
"""In a run folder: held by the sweep that writes to it, on this machine."""
CONFIG_FILE = "config.yaml"
STATE_FILES = ("data.json", "study.json", "study.db", "study-unwritten.jsonl", "trials.jsonl", "result.json", "trials/base.json")
"""What a run that goes on has to know, beside its configuration."""
MARKERS = ("COMPLETE", "state.json")
"""Of adapters and reports, and of checkpoints."""
DIGEST_BYTES = 16
PATIENCE_S = 120.0
"""How long a store may be away before a sweep ends; $MIXWRIGHT_STORE_PATIENCE_S sets another."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 15.0
CHUNK_BYTES = 8 << 20
PARALLEL = 8
"""Files that travel at a time."""
_PUT_IS_ATOMIC = ("s3", "gcs", "abfs")
"""File systems of pyarrow where a file is seen once it has been written to its end."""
_FINAL = ("ACCESS_DENIED", "SIGNATURE_DOES_NOT_MATCH", "INVALID_ACCESS_KEY_ID", "NO_SUCH_BUCKET", "INVALID_CLIENT_TOKEN_ID")
"""In a store's answers that waiting does not change."""
_MIRRORS: dict[str, Mirror] = {}

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SavedFile:
    """What a file of a published folder must be."""

    name: str
    size: int
    digest: str


def described(path: Path, name: str = "") -> SavedFile:
    """A file as it is now."""
    return SavedFile(name=name or path.name, size=path.stat().st_size, digest=digest(path))


def digest(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=DIGEST_BYTES)).hexdigest()


def is_address(place: str | Path) -> bool:
    """Whether a place is an address, and not a path; a path that has swallowed a slash of an address is told apart.

    Raises:
        ConfigError: it was an address before somebody made a path of it.
    """
    text = str(place)
    if re.match(r"(s3|gs|gcs|abfss?|hdfs):/[^/]", text):
        raise ConfigError(f"{text}: an address has two slashes after its colon; give it as {text.replace(':/', '://', 1)}")
    return re.match(r"[a-z][a-z0-9+.-]*://", text) is not None


def local_path(text: str) -> Path:
    """A command line's path that must be one of this machine.

    Raises:
        ConfigError: it is an address.
    """
    if is_address(text):
        raise ConfigError(f"{text}: must be a folder of this machine; addresses are for --run-dir")
    return Path(text)


def run_folder(place: str | Path) -> Path:
    """The folder in which to read and write a run: the path itself, or the working folder of an address, brought up to date.

    Raises:
        StoreError: the store does not answer, or refuses us.
        ConfigError: nothing here knows such addresses.
    """
    if not is_address(place):
        return Path(place)
    there = mirror(str(place))
    there.refresh()
    return there.local


def mirror(address: str) -> Mirror:
    """The mirror of an address on this node; one a process."""
    address = address.rstrip("/")
    if address not in _MIRRORS:
        _MIRRORS[address] = Mirror(address)
    return _MIRRORS[address]


def mirror_of(path: Path) -> Mirror | None:
    """The mirror that a path lies in; None where it lies on a disk and nowhere else."""
    for folder in (path, *path.parents):
        if (folder / MIRROR_FILE).exists():
            return mirror(json.loads((folder / MIRROR_FILE).read_text(encoding="utf-8"))["address"])
    return None


def address_of(run_dir: Path) -> str:
    """The address that a run folder is the copy of; empty where it is none."""
    there = mirror_of(run_dir)
    return there.address if there else ""


def shown(path: Path) -> str:
    """A path for messages: at its address, where it has one."""
    there = mirror_of(path)
    return there.at(path) if there else str(path)


def publish(*paths: Path) -> None:
    """Puts files at the run's address, each whole or not at all; those that do not exist are left out.

    Raises:
        StoreError: the store has been away for too long, or refuses us.
    """
    if paths and (there := mirror_of(paths[0])):
        there.publish(paths)


def publish_folder(folder: Path, marker: str) -> None:
    """Puts a complete folder at the run's address, its marker last.

    Raises:
        StoreError: as `publish`.
    """
    if there := mirror_of(folder):
        there.publish_folder(folder, marker)


def fetch(*paths: Path) -> None:
    """Brings files as they are at the run's address; those that are not there stay as they are here.

    Raises:
        StoreError: as `publish`.
    """
    if paths and (there := mirror_of(paths[0])):
        there.fetch(paths)


def fetch_folder(folder: Path, marker: str) -> bool:
    """Brings a published folder; whether it is here now and whole. On a disk that is whether the marker is there.

    Raises:
        StoreError: as `publish`.
    """
    there = mirror_of(folder)
    return there.fetch_folder(folder, marker) if there else (folder / marker).exists()


@contextmanager
def held(path: Path) -> Iterator[None]:
    """While a folder here is made anew and published, no process of this node brings what it was before."""
    there = mirror_of(path)
    with there.fetching() if there else nullcontext():
        yield


def remove(folder: Path) -> None:
    """Empties a folder at the run's address, so that it counts as gone and takes no space; here it stays.

    Raises:
        StoreError: as `publish`.
    """
    if there := mirror_of(folder):
        there.remove(folder)


class Mirror:
    """A run at an address, and this node's copy of it."""

    def __init__(self, address: str, *, patience_s: float | None = None) -> None:
        """Connects when first used; the working folder is made.

        Args:
            address: without a slash at its end.
            patience_s: how long to wait for a store that is away; None: as the environment says, or `PATIENCE_S`.
        """
        self.address = address
        name = re.sub(r"[^\w.-]", "_", address.rpartition("/")[2]) or "run"
        key = hashlib.blake2b(address.encode(), digest_size=6).hexdigest()
        self.local = (cache_folder() / "runs" / f"{name}-{key}").resolve()
        self._patience_s = float(os.environ.get("MIXWRIGHT_STORE_PATIENCE_S", PATIENCE_S)) if patience_s is None else patience_s
        self._connected: tuple[Any, str] | None = None
        self._gave_up = False
        self._make_folder()

    def _make_folder(self) -> None:
        self.local.mkdir(parents=True, exist_ok=True)
        if not (self.local / MIRROR_FILE).exists():
            write_text(self.local / MIRROR_FILE, json.dumps({"address": self.address}) + "\n")

    def at(self, path: Path) -> str:
        """The address of a path of the working folder."""
        relative = self._relative(path)
        return f"{self.address}/{relative}" if relative else self.address

    def refresh(self) -> None:
        """Brings configuration, records and study as they are at the address. Where a sweep of this machine writes to the run,
        nothing: its folder is ahead of what it has published."""
        with self._unless_written() as free:
            if not free:
                return
            self.refresh_held()

    def refresh_held(self) -> None:
        """The same, for the one process that writes to the run."""
        if not self.fetch([self.local / CONFIG_FILE]):  # another run may have stood at this address before
            for item in self.local.iterdir():
                if item.name not in (MIRROR_FILE, LOCK_FILE):
                    shutil.rmtree(item) if item.is_dir() else item.unlink()
            return
        paths = [self.local / name for name in STATE_FILES]
        for path in set(paths) - set(self.fetch(paths)):
            path.unlink(missing_ok=True)

    @contextmanager
    def _unless_written(self) -> Iterator[bool]:
        """Whether no process of this machine writes to the run, which none then does for the length of the block."""
        with (self.local / LOCK_FILE).open("a", encoding="utf-8") as lock:  # ends with the block, and the lock with it
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def publish(self, paths: Sequence[Path]) -> None:
        """See the function of this name."""
        self._all(self._put, [path for path in paths if path.is_file()])

    def publish_folder(self, folder: Path, marker: str) -> None:
        """See the function of this name. What the marker says of the files is written into the one on this node, too."""
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        files = [described(folder / name, name) for name in names if name != marker]
        write_text(folder / marker, json.dumps({"files": [asdict(file) for file in files]}, indent=2) + "\n")
        self.publish([folder / file.name for file in files])
        self.publish([folder / marker])

    def publish_bytes(self, name: str, content: bytes) -> None:
        """Puts a file that stands alone."""
        self._patiently(f"put {name}", lambda: self._write(name, [content]))

    def fetch(self, paths: Sequence[Path]) -> list[Path]:
        """See the function of this name; says which of them are at the address."""
        return [path for path, found in zip(paths, self._all(self._get, paths), strict=True) if found]

    def fetch_folder(self, folder: Path, marker: str) -> bool:
        """See the function of this name."""
        said = self.read(self._relative(folder / marker))
        if not said:
            return False
        with self.fetching():
            if (folder / marker).is_file() and (folder / marker).read_bytes() == said:
                return True
            return self._bring(folder, marker, said)

    def _bring(self, folder: Path, marker: str, said: bytes) -> bool:
        """Puts the folder together beside its place; files that are here already, and right, do not travel."""
        try:
            files = [SavedFile(**file) for file in json.loads(said)["files"]]
        except (ValueError, KeyError, TypeError):
            logger.warning("%s: passed over, its %s cannot be read", self.at(folder), marker)
            return False
        temporary = Path(tempfile.mkdtemp(dir=self._scratch()))
        try:
            problems = self._all(lambda file: self._bring_file(folder, temporary, file), files)
            if problem := next(filter(None, problems), ""):
                logger.warning("%s: passed over, it is not whole: %s", self.at(folder), problem)
                return False
            (temporary / marker).write_bytes(said)
            shutil.rmtree(folder, ignore_errors=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return True

    def _bring_file(self, folder: Path, temporary: Path, file: SavedFile) -> str:
        """What keeps a file from being what it must be; empty where nothing does."""
        target = temporary / file.name
        if not target.resolve().is_relative_to(temporary.resolve()):
            return f"{file.name} leads out of the folder"
        target.parent.mkdir(parents=True, exist_ok=True)
        here = folder / file.name
        if here.is_file() and here.stat().st_size == file.size and digest(here) == file.digest:
            shutil.copy2(here, target)
            return ""
        if not self._get_to(self._relative(here), target):
            return f"{file.name} is not there"
        if (size := target.stat().st_size) != file.size:
            return f"{file.name} has {size:,} bytes instead of {file.size:,}"
        return "" if digest(target) == file.digest else f"{file.name} is not what was written"

    def read(self, name: str) -> bytes | None:
        """The content of a small file at the address; None where there is none."""
        try:
            return self._patiently(f"read {name}", lambda: b"".join(self._chunks(name)))
        except FileNotFoundError:
            return None

    def names(self, folder: Path | None = None) -> list[str]:
        """What stands directly in a folder at the address, sorted; nothing where there is no such folder."""
        from pyarrow.fs import FileSelector

        name = self._relative(folder or self.local)

        def ask() -> list[str]:
            system, root = self._system()
            return sorted(info.base_name for info in system.get_file_info(FileSelector(_join(root, name), allow_not_found=True)))

        try:
            return [found for found in self._patiently(f"list {name}", ask) if found]
        except FileNotFoundError:
            return []

    def filled(self, folder: Path) -> list[str]:
        """What stands directly in a folder at the address and has not been removed, sorted."""
        name = self._relative(folder)
        return sorted({path.partition("/")[0] for path in self._patiently(f"list {name}", lambda: self._files(name))})

    def remove(self, folder: Path) -> None:
        """See the function of this name. Files are emptied, the markers first, since to delete them is not safe everywhere: pyarrow
        then puts an empty object in the name of the folder above, and some servers make of it what hides the rest."""
        name = self._relative(folder)
        files = self._patiently(f"list {name}", lambda: self._files(name))
        for is_marker in (True, False):
            chosen = [f"{name}/{file}" for file in files if (file.rpartition("/")[2] in MARKERS) == is_marker]
            self._all(lambda file: self.publish_bytes(file, b""), chosen)

    def _files(self, name: str) -> list[str]:
        """All files of a folder that are not empty, by their paths in it."""
        from pyarrow.fs import FileSelector

        system, root = self._system()
        base = _join(root, name)
        try:
            found = system.get_file_info(FileSelector(base, allow_not_found=True, recursive=True))
        except FileNotFoundError:
            return []
        return [info.path[len(base) + 1 :] for info in found if info.is_file and info.size]

    def _put(self, path: Path) -> None:
        name = self._relative(path)
        if path.stat().st_size <= CHUNK_BYTES:  # in hand first: pyarrow ends a file as whole where reading failed, too
            content = path.read_bytes()
            self._patiently(f"put {name}", lambda: self._write(name, [content]))
        else:
            self._patiently(f"put {name}", lambda: self._write(name, _chunks_of(path)))

    def _write(self, name: str, content: Iterable[bytes]) -> None:
        system, root = self._system()
        target = _join(root, name)
        if system.type_name in _PUT_IS_ATOMIC:
            with system.open_output_stream(target) as stream:
                for chunk in content:
                    stream.write(chunk)
            return
        folder, _, base = target.rpartition("/")
        system.create_dir(folder, recursive=True)
        temporary = f"{folder}/.{base}.{os.getpid()}.tmp"
        with system.open_output_stream(temporary) as stream:
            for chunk in content:
                stream.write(chunk)
        system.move(temporary, target)

    def _get(self, path: Path) -> bool:
        """Whether the file is at the address; then it is here as well, whole."""
        handle, temporary = tempfile.mkstemp(dir=self._scratch())
        os.close(handle)
        try:
            if not self._get_to(self._relative(path), Path(temporary)):
                return False
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, path)
            return True
        finally:
            Path(temporary).unlink(missing_ok=True)

    def _get_to(self, name: str, target: Path) -> bool:
        def ask() -> None:
            with target.open("wb") as file:
                for chunk in self._chunks(name):
                    file.write(chunk)

        try:
            self._patiently(f"get {name}", ask)
        except FileNotFoundError:
            return False
        return True

    def _chunks(self, name: str) -> Iterator[bytes]:
        system, root = self._system()
        with system.open_input_stream(_join(root, name)) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk

    def _all(self, work: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        """The results in the order of the items, several at a time."""
        if len(items) < 2:
            return [work(item) for item in items]
        with ThreadPoolExecutor(min(PARALLEL, len(items))) as pool:
            return list(pool.map(work, items))

    def _patiently(self, what: str, ask: Callable[[], T]) -> T:
        """What `ask` gives; a store that is away is asked again, ever more seldom.

        Raises:
            FileNotFoundError: there is no such file.
            StoreError: it has been away for too long, or its answer would be the same again.
        """
        started, wait = time.monotonic(), FIRST_WAIT_S
        patience_s = 0.0 if self._gave_up else self._patience_s
        while True:
            try:
                found = ask()
            except FileNotFoundError:
                raise
            except OSError as error:
                cause, waited = _cause(error), time.monotonic() - started
                if _is_final(error, cause):
                    raise StoreError(f"{self.address}: cannot {what}: {cause}; see docs/cluster.md on stores") from None
                if waited + wait > patience_s:
                    self._gave_up = patience_s > 0  # what is still to be written on the way out need not wait as long again
                    raise StoreError(
                        f"{self.address}: the store does not answer ({waited:.0f} s: cannot {what}: {cause}); nothing half-written "
                        "is read, go on with --resume once it answers"
                    ) from None
                logger.warning("%s: cannot %s (%s); trying again for %.0f s", self.address, what, cause, patience_s - waited)
                time.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT_S)
            else:
                if wait > FIRST_WAIT_S:
                    logger.info("%s: the store answers again", self.address)
                self._gave_up = False
                return found

    def _system(self) -> tuple[Any, str]:
        """The file system, and the run's path in it."""
        if self._connected is None:
            self._connected = _connect(self.address)
        return self._connected

    def _relative(self, path: Path) -> str:
        relative = path.relative_to(self.local).as_posix()
        return "" if relative == "." else relative

    def _scratch(self) -> Path:
        folder = self.local / ".fetching"
        folder.mkdir(exist_ok=True)
        return folder

    @contextmanager
    def fetching(self) -> Iterator[None]:
        """One process of this node at a time: several workers want the same checkpoint."""
        with (self._scratch() / "lock").open("w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _connect(address: str) -> tuple[Any, str]:
    """pyarrow's file system where it has one, else fsspec's.

    Raises:
        ConfigError: neither knows the address.
        OSError: the store does not answer.
    """
    from pyarrow import ArrowInvalid
    from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem

    try:
        system, root = FileSystem.from_uri(address)
    except ArrowInvalid:
        try:
            from fsspec.core import url_to_fs

            found, root = url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise ConfigError(f"{address}: neither pyarrow nor fsspec can open it ({error}); give s3://, gs:// or a path") from None
        system = PyFileSystem(FSSpecHandler(found))
    if system.type_name == "s3" and "?" not in address:
        system = _s3(system.region)
    return system, str(root).rstrip("/")


def _s3(region: str) -> Any:
    """S3 with what an address cannot say; the endpoint and credentials are the environment's, as for all of AWS's clients."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "")
    if endpoint.netloc:
        # Checksums behind the content, which AWS's clients send by default, are more than many other servers understand.
        os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        os.environ.setdefault("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required")
    return S3FileSystem(
        region=region,
        endpoint_override=endpoint.netloc or None,
        scheme=endpoint.scheme or "https",
        allow_delayed_open=True,  # a small file is one request, not three
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=2),  # who waits longer, and says so, is `_patiently`
    )


def _chunks_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _join(root: str, name: str) -> str:
    return f"{root}/{name}" if name else root


def _cause(error: OSError) -> str:
    """What the store said, on one line."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _is_final(error: OSError, cause: str) -> bool:
    """Whether asking again would be answered the same."""
    own = error.errno in (errno.ENOSPC, errno.EDQUOT) or isinstance(error, PermissionError | NotADirectoryError | IsADirectoryError)
    return own or any(word in cause for word in _FINAL)
