"""Hub datasets through the `datasets` library: by id, or from a folder of data files or of `save_to_disk`.

What comes in: `hub_id`, `hub_config`, `hub_split` and `hub_revision`. What goes out: rows, as `columns` maps them. No code
that comes with a dataset is run: the library reads data files alone.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mixwright.config import SourceConfig
from mixwright.data.readers.columns import check_columns, column_row
from mixwright.data.readers.common import Row
from mixwright.errors import DataError, did_you_mean

logger = logging.getLogger(__name__)


def rows(source: SourceConfig, root: Path, left_out: Counter[str]) -> Iterator[Row]:
    """Rows numbered from 1, in the dataset's own order.

    Raises:
        DataError: the dataset cannot be had, has no such split, lacks a column, or holds something else than text in it.
    """
    dataset = _load(source, root)
    where = f"{source.hub_id} [{source.hub_split}]"
    check_columns(source, list(dataset.column_names), where)
    for number, item in enumerate(dataset, start=1):
        row = column_row(source, item, str(number), f"{where}: row {number}", left_out)
        if row:
            yield row


def _load(source: SourceConfig, root: Path) -> Any:
    try:
        import datasets
    except ImportError:
        raise DataError(f"source '{source.name}': format hub needs the `datasets` package; pip install datasets") from None
    assert source.hub_id is not None, "the configuration refuses hub sources without an id"
    folder = next((item for item in (root / source.hub_id, Path(source.hub_id)) if item.is_dir()), None)
    try:
        if folder and _is_saved(folder):
            return _split_of(datasets.load_from_disk(str(folder)), source)
        if folder:
            return datasets.load_dataset(str(folder), source.hub_config, split=source.hub_split)
        logger.info("%s: loading %s from the hub", source.name, source.hub_id)
        with _quiet_retries():
            return datasets.load_dataset(source.hub_id, source.hub_config, split=source.hub_split, revision=source.hub_revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"source '{source.name}': cannot load {source.hub_id}: {_first_line(error)}; {_way_out(folder)}") from None


@contextlib.contextmanager
def _quiet_retries() -> Iterator[None]:
    """Without a network the hub's client logs a dozen lines of retries; the one error that follows says all of it."""
    retries = logging.getLogger("huggingface_hub.utils._http")
    level = retries.level
    retries.setLevel(logging.ERROR)
    try:
        yield
    finally:
        retries.setLevel(level)


def _is_saved(folder: Path) -> bool:
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def _split_of(loaded: Any, source: SourceConfig) -> Any:
    """The wanted split of a saved dict of datasets; a dataset saved alone is its only split."""
    if not isinstance(loaded, dict):
        return loaded
    if source.hub_split not in loaded:
        raise ValueError(f"unknown split '{source.hub_split}', it has {', '.join(loaded)}{did_you_mean(source.hub_split, loaded)}")
    return loaded[source.hub_split]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _way_out(folder: Path | None) -> str:
    if folder:
        return "correct `hub_config` or `hub_split`, or mend the folder"
    return "check the id and the network, or download it once and give the folder as `hub_id`"
