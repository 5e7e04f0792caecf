"""A run folder: what it holds, who may write to it, and when a thing in it counts as finished.

What comes in: a folder and the resolved configuration. What goes out: a `RunFolder` through which the search writes. Every
file is written whole under a temporary name and renamed; `trials.jsonl` grows a line at a time, and a torn last line (a
kill in the middle of a write) is dropped when it is read. The folder is the truth after any kill: the study holds what
was suggested, `trials.jsonl` what has ended, `trials/ID/checkpoint` how far the rest had come. Where the folder is the copy of
a run on object storage, what is written here is published there (remote.py).
"""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from mixwright.config import AUTO, SweepConfig
from mixwright.errors import ConfigError, DataError, RunError
from mixwright.models import ADAPTER_CONFIG, COMPLETE
from mixwright.records import RunRecord, TrialRecord, append_whole_line, from_json, patiently, to_json, write_text
from mixwright.settings import dump_yaml, validate
from mixwright.store import changes, remote
from mixwright.store.lease import LEASE_FILE, check_lease, take_lease
from mixwright.store.remote import LOCK_FILE
from mixwright.store.studies import STUDY_FILE, STUDY_ID_FILE
from mixwright.store.vllm import vllm_fit

logger = logging.getLogger(__name__)

CONFIG_FILE, TRIALS_FILE, RESULT_FILE, DATA_FILE = "config.yaml", "trials.jsonl", "result.json", "data.json"
_LOCKS: dict[Path, IO[str]] = {}
"""Held for as long as the process lives; the system lets go of them when it dies, however it does."""


@dataclass(frozen=True)
class RunFolder:
    """An open run folder; `open_run` is the way to get one."""

    path: Path

    @property
    def study_url(self) -> str:
        """Of `study.db`; a study in a database is elsewhere (studies.py)."""
        return f"sqlite:///{(self.path / STUDY_FILE).resolve()}"

    def trials(self) -> list[TrialRecord]:
        """Trials of the search that have ended, in the order of their numbers."""
        return sorted((record for record in read_trials(self.path) if not record.confirms), key=lambda record: record.number)

    def confirmations(self) -> list[TrialRecord]:
        """Trials that repeat a candidate with a fresh seed, in the order of their numbers."""
        return sorted((record for record in read_trials(self.path) if record.confirms), key=lambda record: record.number)

    def append_trial(self, record: TrialRecord) -> None:
        """Adds a trial that has ended; a store that is away for a while is waited for.

        Raises:
            RunError: it has been away for too long, or another sweep has taken the run over.
        """
        check_lease(remote.address_of(self.path))
        path, line = self.path / TRIALS_FILE, json.dumps(to_json(record), ensure_ascii=False)
        patiently(lambda: append_whole_line(path, line, flush=True), path)
        remote.publish(path)

    def write_result(self, record: RunRecord) -> None:
        self.write_json(RESULT_FILE, to_json(record))

    def write_json(self, name: str, value: Any) -> None:
        path, text = self.path / name, json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        patiently(lambda: write_text(path, text), path)
        remote.publish(path)

    def keep_adapter(self, source: Path, name: str) -> Path:
        """Copies a trial's adapter to `adapters/NAME`; the completion marker comes last."""
        remote.fetch_folder(source, COMPLETE)
        target = self.path / "adapters" / name
        with remote.held(target):
            temporary = target.with_name(f".{name}.tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.copytree(source, temporary, ignore=shutil.ignore_patterns(COMPLETE))
            shutil.rmtree(target, ignore_errors=True)
            temporary.rename(target)
            (target / COMPLETE).touch()
            remote.publish_folder(target, COMPLETE)
        _say_how_vllm_serves(target)
        return target


def _say_how_vllm_serves(adapter: Path) -> None:
    if not (adapter / ADAPTER_CONFIG).exists():
        return
    fit = vllm_fit(adapter)
    if fit.problems:
        logger.info("%s: vLLM would not serve it: %s", adapter, "; ".join(fit.problems))
    else:
        logger.info("%s: vLLM serves it with --enable-lora --max-lora-rank %d", adapter, fit.max_lora_rank)


def check_run(path: Path, config: SweepConfig, *, resume: bool, extend: bool = False) -> None:
    """Refuses a folder that this sweep must not write to; changes nothing.

    Args:
        extend: as `resume`, and what is searched may have grown; see changes.py.

    Raises:
        RunError: it holds another configuration, it holds trials and `resume` is not set, or there is nothing to resume.
    """
    existing = _saved_config(path)
    option = "--extend" if extend else "--resume"
    if (resume or extend) and existing is None:
        raise RunError(f"{path}: nothing to go on with, the folder holds no {CONFIG_FILE}; leave {option} out")
    if existing is not None:
        _check_same(path, existing, config.model_dump(mode="json"), extend=extend)
        if not (resume or extend) and any((path / name).exists() for name in (STUDY_FILE, STUDY_ID_FILE)):
            raise RunError(f"{path}: holds an unfinished run; add --resume to go on with it, or give another --run-dir")
    elif _holds_something(path):
        raise RunError(f"{remote.shown(path)}: is not empty and holds no run of ours; give another --run-dir")


def _holds_something(path: Path) -> bool:
    if there := remote.mirror_of(path):
        return any(name != LEASE_FILE and name[0] != "." for name in there.names())
    return path.exists() and any(item.name != LOCK_FILE for item in path.iterdir())


def open_run(path: Path, config: SweepConfig, *, resume: bool, extend: bool = False) -> RunFolder:
    """Opens a folder for a sweep, new or to go on with.

    Raises:
        RunError: as `check_run`, or another process writes to it.
    """
    check_run(path, config, resume=resume, extend=extend)
    path.mkdir(parents=True, exist_ok=True)
    _lock(path)
    if address := remote.address_of(path):
        take_lease(address)
        remote.mirror(address).refresh_held()  # what the sweep before wrote until its lease ended
    write_text(path / CONFIG_FILE, dump_yaml(config))
    remote.publish(path / CONFIG_FILE)
    _drop_torn_line(path / TRIALS_FILE)
    return RunFolder(path=path)


def _lock(path: Path) -> None:
    if path.resolve() in _LOCKS:
        return
    lock = (path / LOCK_FILE).open("w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunError(
            f"{remote.shown(path)}: another sweep is writing to this folder; wait for it, or give another --run-dir"
        ) from None
    _LOCKS[path.resolve()] = lock


def _saved_config(path: Path) -> dict[str, Any] | None:
    """The run's configuration with every key; those that came with a later version stand at their defaults."""
    try:
        tree = yaml.safe_load((path / CONFIG_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise RunError(f"{path}: is a file; give a folder as --run-dir") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunError(f"{path}/{CONFIG_FILE}: cannot be read ({type(error).__name__}); give another --run-dir") from None
    try:
        return validate(SweepConfig, tree if isinstance(tree, dict) else {}, where=f"{path}/{CONFIG_FILE}").model_dump(mode="json")
    except ConfigError:
        return tree if isinstance(tree, dict) else {}  # a key that this version does not know shows as a difference


def _check_same(path: Path, saved: dict[str, Any], wanted: dict[str, Any], *, extend: bool) -> None:
    found = changes.changes(saved, wanted)
    if extend:
        found = [change for change in found if change.problem]
        if found:
            rule = "an extension adds trials, widens ranges and adds choices; give another --run-dir for the rest"
            raise RunError(f"{path}: cannot be extended: {changes.describe(found, problems=True)}; {rule}")
    elif found:
        way_out = "give another --run-dir" if any(change.problem for change in found) else "add --extend, or give another --run-dir"
        raise RunError(f"{path}: holds a run of another configuration ({changes.describe(found)}); {way_out}")


def with_saved_workers(path: Path, config: SweepConfig) -> SweepConfig:
    """The configuration with the workers that a run in `path` was started with, where `config` leaves them to the cluster.

    A checkpoint fits one number of workers, so a run that goes on elsewhere must not choose anew.
    """
    saved = (_saved_config(path) or {}).get("cluster", {})
    kept = {name: saved[name] for name in ("workers", "gpus_per_worker") if getattr(config.cluster, name) == AUTO and name in saved}
    return config.model_copy(update={"cluster": config.cluster.model_copy(update=kept)})


def _drop_torn_line(path: Path) -> None:
    if path.exists():
        text = path.read_text(encoding="utf-8", errors="replace")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            logger.warning("%s: dropped a line that a kill had torn", path)
            write_text(path, whole)


def read_trials(path: Path) -> list[TrialRecord]:
    """Trials that have ended, in the order in which they did.

    Raises:
        RunError: a line is not a trial.
    """
    try:
        lines = (path / TRIALS_FILE).read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    records = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            records.append(from_json(TrialRecord, json.loads(line)))
        except (ValueError, DataError) as error:
            raise RunError(
                f"{path / TRIALS_FILE}:{number}: not a trial: {error}; remove the line to run that trial again"
            ) from None
    return records


def read_result(path: Path) -> RunRecord | None:
    """The content of result.json, or None where there is none yet."""
    try:
        return from_json(RunRecord, json.loads((path / RESULT_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def is_finished(path: Path, config: SweepConfig) -> bool:
    """Whether the folder holds a complete run of exactly this configuration."""
    saved = _saved_config(path)
    result = read_result(path)
    return result is not None and result.status == "complete" and not changes.differ(saved or {}, config.model_dump(mode="json"))
