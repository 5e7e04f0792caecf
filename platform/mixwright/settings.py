"""The machinery below every configuration: strict types, problems told all at once, YAML files read with care.

What comes in: a settings type and a tree of plain values, or the path of a YAML file. What goes out: a validated, frozen
object, or one ConfigError that lists every problem with its key, rule and value. It knows no key of any configuration.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mixwright.errors import ConfigError, did_you_mean

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class Settings(BaseModel):
    """Base of every configuration type: frozen, keyword-only, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


TAGGED_KINDS: dict[str, type[Settings]] = {}
"""pydantic's tags of a discriminated union -> its types; a configuration that has one enters them here, for clear messages."""


def set_dotted(tree: dict[str, Any], key: str, value: Any) -> None:
    """Sets `a.b.c` in a nested dict; an unknown name on the way is refused.

    Raises:
        ConfigError: a part of the key is not in the tree.
    """
    *parents, last = key.split(".")
    node: Any = tree
    for depth, part in enumerate(parents):
        if not isinstance(node, dict) or part not in node:
            raise ConfigError(_unknown_key(".".join(parents[: depth + 1]), part, node if isinstance(node, dict) else {}))
        node = node[part]
    open_keyed = parents[-1:] in (["task_weights"], ["parameters"], ["labels"], ["columns"])
    if not isinstance(node, dict) or (last not in node and not open_keyed):
        raise ConfigError(_unknown_key(key, last, node if isinstance(node, dict) else {}))
    node[last] = value


def _unknown_key(path: str, word: str, choices: Mapping[str, Any]) -> str:
    known = f"; known here: {', '.join(choices)}" if choices else ""
    return f"unknown key `{path}`{did_you_mean(word, choices) or known}"


T = TypeVar("T", bound=Settings)


def validate(kind: type[T], tree: Any, *, where: str, context: Any = None) -> T:
    """A validated `kind`, or one ConfigError that lists every problem with its key, rule and value."""
    if not isinstance(tree, dict):
        raise ConfigError(f"{where}: must be a mapping of keys to values, got {type(tree).__name__}")
    try:
        return kind.model_validate(tree, context=context)
    except ValidationError as error:
        items = [item for item in error.errors() if item["type"] != "too_short" or len(item["input"]) == 0]
        problems = list(dict.fromkeys(line for item in items for line in _problem_lines(kind, item)))
    if len(problems) == 1:
        raise ConfigError(f"{where}: {problems[0]}")
    raise ConfigError(f"{where}: {len(problems)} problems\n" + "\n".join(f"  - {problem}" for problem in problems))


def _problem_lines(kind: type[Settings], item: Any) -> list[str]:
    location = [part for part in item["loc"] if part not in TAGGED_KINDS]
    path = ".".join(str(part) for part in location)
    prefix = f"{path}: " if path else ""
    if item["type"] == "extra_forbidden":
        choices = _fields_at(kind, item["loc"][:-1])
        return [_unknown_key(path, str(location[-1]), dict.fromkeys(choices))]
    if item["type"] == "missing":
        one_of = " | ".join(", ".join(tagged.model_fields) for tagged in TAGGED_KINDS.values())
        return [f"`{path}` is missing" + (f"; give the keys of one of: {one_of}" if set(item["loc"]) & set(TAGGED_KINDS) else "")]
    if item["type"] == "value_error":
        return [prefix + line for line in str(item["ctx"]["error"]).splitlines()]
    rule = item["msg"][0].lower() + item["msg"][1:]
    return [f"{prefix}{rule.replace('input should', 'must')}, got {item['input']!r}"]


def _fields_at(kind: type[Settings], location: Sequence[Any]) -> list[str]:
    """Names of the fields of the settings type that `location` leads to; empty where it leads elsewhere."""
    if tags := [part for part in location if part in TAGGED_KINDS]:
        return list(TAGGED_KINDS[tags[-1]].model_fields)
    current: type[Settings] = kind
    for part in location:
        if isinstance(part, int):
            continue
        field = current.model_fields.get(part)
        annotation = field.annotation if field else None
        nested = (annotation, *getattr(annotation, "__args__", ()))
        found = next((item for item in nested if isinstance(item, type) and issubclass(item, Settings)), None)
        if found is None:
            return []
        current = found
    return list(current.model_fields)


def read_value(option: str, text: str) -> tuple[str, Any]:
    """Key and value of a `key=value` given for a command-line option; the value is YAML.

    Raises:
        ConfigError: it does not read key=value, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"{option} {text!r}: must read key=value, for instance {option} lora.rank=8")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"{option} {text!r}: the value is not valid YAML; quote it") from None


class _UniqueKeyLoader(yaml.SafeLoader):
    """Plain YAML, but a key given twice is an error instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' stands twice; remove one", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        ConfigError: missing, empty, not UTF-8, or not YAML (line and column are named).
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give the path of a YAML file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder; give the path of a YAML file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: must be UTF-8, byte {error.start} is not; save the file as UTF-8") from None
    try:
        tree = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError(f"{place}: not valid YAML: {getattr(error, 'problem', error)}") from None
    if tree is None:
        raise ConfigError(f"{path}: is empty; start from a file in search_spaces/")
    return tree


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def expand_environment(text: str) -> str:
    """Fills `${NAME}` and `${NAME:-default}` from the environment.

    Raises:
        ConfigError: a name without a default is not set.
    """

    def fill(match: re.Match[str]) -> str:
        value = os.environ.get(match[1], match[2])
        if value is None:
            raise ConfigError(f"{text!r}: the environment variable {match[1]} is not set; set it or write ${{{match[1]}:-default}}")
        return value

    return _VARIABLE.sub(fill, text)


def dump_yaml(config: Settings) -> str:
    """The resolved configuration as YAML, defaults included."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
