"""What a search space names: its model and its data. The same calls look that a sweep would make."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mixwright.config import ModelConfig, SweepConfig
from mixwright.doctor.results import Check
from mixwright.scenarios import Scenario

HUB_TIMEOUT_S = 10.0


def model(config: ModelConfig) -> Check:
    """Whether the base model can be had.

    Raises:
        ModelError: a folder that holds no causal LM in safetensors.
    """
    from mixwright.models import EMBEDDED, EMBEDDED_PACKAGE, base_folder

    if config.name == EMBEDDED:
        if importlib.util.find_spec(EMBEDDED_PACKAGE) is None:
            return Check(name="model", status="fail", found="the embedded one is not installed", advice="run `make setup`")
        return Check(name="model", status="ok", found="embedded, installed")
    place = base_folder(config)
    if place != config.name or Path(place).is_dir():
        return Check(name="model", status="ok", found=f"{place}: a causal LM in safetensors")
    return _on_the_hub(config)


def _on_the_hub(config: ModelConfig) -> Check:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        patterns = ["*.json", "*.safetensors"]
        folder = snapshot_download(config.name, revision=config.revision, local_files_only=True, allow_patterns=patterns)
        if any(Path(folder).glob("*.safetensors")):
            return Check(name="model", status="ok", found=f"{config.name}: in the cache, {folder}")
    except OSError:
        pass  # not downloaded yet
    try:
        HfApi().model_info(config.name, revision=config.revision, timeout=HUB_TIMEOUT_S)
    except (GatedRepoError, RepositoryNotFoundError) as error:
        advice = "correct the id; where it is gated or private, ask for access and set HF_TOKEN, on every node"
        return Check(name="model", status="fail", found=f"{config.name}: the hub says {type(error).__name__}", advice=advice)
    except Exception as error:  # no network, a proxy, offline mode: each library below raises its own
        advice = "give a folder that holds it, or let this machine and every node reach the hub"
        found = f"{config.name}: not in the cache, and the hub does not answer ({type(error).__name__})"
        return Check(name="model", status="fail", found=found, advice=advice)
    return Check(name="model", status="ok", found=f"{config.name}: on the hub; the first run downloads it on every node")


def data(config: SweepConfig, scenario: Scenario) -> Check:
    """Reads, splits and guards all sources, as a sweep does first.

    Raises:
        DataError: a source that cannot be read, or a task without rows; all problems of a step at once.
    """
    from mixwright.data.prepare import prepare

    prepared = prepare(config.data, scenario, seed=config.search.seed)
    counts = {split: sum(map(len, getattr(prepared, split).values())) for split in ("train", "dev", "test")}
    rows = ", ".join(f"{count} {split}" for split, count in counts.items())
    return Check(name="data", status="ok", found=f"{len(config.data.sources)} sources: {rows} rows")
