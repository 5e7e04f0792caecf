"""Where rows come from, as settings: one source a file, folder or hub dataset, and which task its rows serve.

What comes in: the `data` section of a search space. What goes out: a `DataConfig`, part of `SweepConfig`. Settings that a format
would ignore are errors.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mixwright.records import GENERIC
from mixwright.settings import Positive, Settings

ONE_TASK_FORMATS = ("m2", "parallel", "wikisplit", "onestopenglish", "stsb")
READ_BY_FORMATS = {
    "references": ("parallel",),
    "labels": ("iterater", "jsonl", "hub"),
    "columns": ("jsonl", "hub"),
    "hub_id": ("hub",),
    "hub_config": ("hub",),
    "hub_split": ("hub",),
    "hub_revision": ("hub",),
    "strip_instruction_prefix": ("jsonl", "hub"),
    "reverse": ("wikisplit", "onestopenglish"),
    "min_similarity": ("stsb",),
}
"""Settings of a source that some formats would ignore; given for another format, they are an error."""


class SourceConfig(Settings):
    """One file, folder or hub dataset, and which task its rows serve."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    format: Literal["embedded", "alpaca", "m2", "parallel", "iterater", "wikisplit", "onestopenglish", "stsb", "jsonl", "hub"]
    use: Literal["train", "evaluation", "both"] = "both"
    """both: whole groups (documents) go to training or to evaluation, `evaluation_fraction` of them to the latter."""
    evaluation_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    """Read where use is `both`. Evaluation groups are then halved into dev (steers the search) and test (the final table)."""
    task: str | None = None
    """`generic` or a task of the scenario; left out where rows name their own task: embedded, iterater, jsonl and hub with a
    task column. Given for embedded, iterater or beside `labels`, only rows of this task are kept."""
    path: str | None = None
    """File or folder, from `data.root` where relative; a folder is read file by file (in m2 each file is a group)."""
    references: tuple[str, ...] = ()
    """parallel: the reference files, aligned with `path` line by line."""
    labels: dict[str, str] = Field(default_factory=dict)
    """iterater, jsonl, hub: label in the task column -> task; rows of other labels are left out and counted."""
    columns: dict[str, str] = Field(default_factory=dict)
    """jsonl, hub: our field (text, references, instruction, task, group) -> the file's column; the same name where left out."""
    hub_id: str | None = None
    """hub: dataset id, or a local folder that `datasets` can load."""
    hub_config: str | None = None
    hub_split: str = "train"
    hub_revision: str | None = None
    strip_instruction_prefix: bool = False
    """jsonl, hub: texts such as CoEdIT's open with their instruction and a colon; move it out of the text."""
    reverse: bool = False
    """wikisplit: False joins two sentences into one (the coherence proxy), True splits. onestopenglish: the second line of a
    block is the text (ELE-INT, where the easier sentence comes first)."""
    min_similarity: Annotated[float, Field(ge=0.0, le=5.0)] = 5.0
    """stsb: pairs below this score (0 to 5) are left out and counted."""
    detokenize: bool = True
    """Apply the detokenisation policy to texts and references; generic rows are left as they are."""
    rows: Positive | None = None
    """embedded: training rows a task (default 2000). Other formats: keep at most this many rows, a seeded choice."""

    @model_validator(mode="after")
    def _says_where_its_rows_are(self) -> Self:
        if self.format == "hub" and not self.hub_id:
            raise ValueError(f"source '{self.name}': format hub needs `hub_id`; give a dataset id or a folder")
        if self.format not in ("hub", "embedded") and not self.path:
            raise ValueError(f"source '{self.name}': format {self.format} needs `path`; give a file under data.root")
        if self.format == "parallel" and not self.references:
            raise ValueError(f"source '{self.name}': format parallel needs `references`, at least one file")
        for setting, formats in READ_BY_FORMATS.items():
            if self.format not in formats and getattr(self, setting) != type(self).model_fields[setting].get_default(
                call_default_factory=True
            ):
                raise ValueError(f"source '{self.name}': `{setting}` is read by format {' and '.join(formats)} alone; remove it")
        if self.format in ONE_TASK_FORMATS and self.task is None:
            raise ValueError(f"source '{self.name}': format {self.format} needs `task`, since its rows name none")
        if self.format == "alpaca" and self.task not in (None, GENERIC):
            raise ValueError(f"source '{self.name}': format alpaca holds generic instructions; set `task: {GENERIC}`")
        return self


class DataConfig(Settings):
    """Where rows come from."""

    root: str = "${MIXWRIGHT_DATA:-../shared/data}"
    """Folder that relative paths count from; `${NAME}` and `${NAME:-default}` are filled from the environment."""
    sources: Annotated[tuple[SourceConfig, ...], Field(min_length=1)] = (SourceConfig(name="embedded", format="embedded"),)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [source.name for source in self.sources]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"sources {', '.join(twice)} are declared twice; give each its own name")
        return self
