"""The file of a search space -> one tree of settings, paths in it made absolute; nothing of it is checked yet.

What comes in: a YAML file, and the ones that it `extends`. What goes out: plain dicts for `config.load_config` to validate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixwright.errors import ConfigError
from mixwright.search_checks import MODEL_NAME, TEMPLATE
from mixwright.settings import load_yaml

TEMPLATE_SUFFIX = ".jinja"


def read_space(path: Path, below: tuple[Path, ...] = ()) -> dict[str, Any]:
    """What a search space says, on top of the one that it extends.

    Args:
        below: the spaces that extend this one.

    Raises:
        ConfigError: a file that cannot be read or holds no mapping, or spaces that extend one another in a ring.
    """
    tree = load_yaml(path)
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values, got {type(tree).__name__}")
    make_paths_absolute(tree, path.parent)
    extended = tree.pop("extends", None)
    if extended is None:
        return tree
    if not isinstance(extended, str):
        raise ConfigError(f"{path}: extends must be the path of another search space, got {extended!r}")
    other, here = (path.parent / extended).resolve(), (*below, path.resolve())
    if other in here:
        raise ConfigError(f"{path}: extends {extended}, which extends it in turn; remove one of the two lines")
    base = read_space(other, here)
    sections = [key for key, value in tree.items() if isinstance(value, dict) and isinstance(base.get(key), dict)]
    return {**base, **tree, **{key: base[key] | tree[key] for key in sections}}


def _absolute_model(name: Any) -> Any:
    """A folder as the whole path of it; a hub id as it is."""
    if not isinstance(name, str):
        return name
    folder = Path(name).expanduser()
    return str(folder.resolve()) if name.startswith((".", "~")) or folder.is_dir() else name


def _absolute_template(template: Any) -> Any:
    """A file as the whole path of it; a name as it is."""
    if not isinstance(template, str) or not template.endswith(TEMPLATE_SUFFIX):
        return template
    return str(Path(template).expanduser().resolve())


_ABSOLUTE = {MODEL_NAME: _absolute_model, TEMPLATE: _absolute_template}


def _make_searched_paths_absolute(search: Any) -> None:
    parameters = search.get("parameters") if isinstance(search, dict) else None
    first = search.get("first") if isinstance(search, dict) else None
    for key, absolute in _ABSOLUTE.items():
        spec = parameters.get(key) if isinstance(parameters, dict) else None
        if isinstance(spec, dict) and isinstance(spec.get("choices"), list):
            spec["choices"] = [absolute(value) for value in spec["choices"]]
        for point in first if isinstance(first, list) else ():
            if isinstance(point, dict) and key in point:
                point[key] = absolute(point[key])


def make_paths_absolute(tree: dict[str, Any], folder: Path) -> None:
    """A scenario file counts from the search space, a model folder or template from the current folder; workers run elsewhere."""
    scenario = tree.get("scenario")
    if isinstance(scenario, str) and scenario.endswith((".yaml", ".yml")):
        tree["scenario"] = str((folder / scenario).resolve())
    model = tree.get("model")
    for key, absolute in _ABSOLUTE.items():
        if isinstance(model, dict) and (field := key.removeprefix("model.")) in model:
            model[field] = absolute(model[field])
    if isinstance(model, dict) and isinstance(model.get("adapter"), str):
        model["adapter"] = str(Path(model["adapter"]).expanduser().resolve())
    _make_searched_paths_absolute(tree.get("search"))
