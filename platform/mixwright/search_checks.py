"""What is wrong with a searched space, before anything starts: every key, value and condition is held against the rules.

What comes in: a `SweepConfig`. What goes out: problems, each a line that names the key, the rule, the value and the way out.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mixwright.decoding import LOWEST_TEMPERATURE
from mixwright.errors import ConfigError, did_you_mean
from mixwright.search_config import ChoiceSpec, RangeSpec, SimplexSpec, ends, holds
from mixwright.search_points import combinations

if TYPE_CHECKING:
    from mixwright.config import SweepConfig

DECODING = "evaluation.decoding"
MAX_NEW_TOKENS = "evaluation.max_new_tokens"
"""Keys of how trials answer; what they are asked is the same for all, so no other key of `evaluation` can be searched."""
MODEL_NAME, TEMPLATE, TUNING = "model.name", "model.template", "model.tuning"
OF_THE_MODEL = (MODEL_NAME, TEMPLATE, TUNING)
"""The keys of the model that can be searched; a lane that meets another base model loads it in the place of its own."""
TRAINED = ("lora", "full")
NEVER_SEARCHED = ("model.", "cluster.", "train.zero_stage", "train.precision")
"""Keys that all trials of a sweep share: a lane keeps its workers from trial to trial, and what they are set up with."""
NOT_OF_A_TRIAL = ("name", "question", "scenario", "unseen", "data.", "search.", "serve.")
"""Keys that are read once for the whole sweep."""
TASK_WEIGHTS = "mixture.task_weights"
NEARLY_ONE = math.nextafter(1.0, 0.0)
CHECKED_DRAWS = 256
"""Random points of a space that are validated when it is loaded, and as many random corners."""
MOST_GRID_POINTS = 100_000


def problems_of_space(config: SweepConfig) -> list[str]:
    """All that can be told from the keys one by one; empty where nothing is wrong."""
    found = [*_decoding(config), *_shared_keys(config), *_models(config), *_weights(config)]
    return found or [*_values(config)] or [*_first_points(config), *_grid(config)]


def _shared_keys(config: SweepConfig) -> Iterator[str]:
    for key in config.search.parameters:
        if key.startswith(NEVER_SEARCHED) and key not in OF_THE_MODEL:
            yield (
                f"search.parameters.{key}: all trials of a sweep share it, since they follow one another on the same workers; "
                "write a search space for each value"
            )
        elif key.startswith(NOT_OF_A_TRIAL):
            way_out = "search train.seed" if key == "search.seed" else "write a search space for each value"
            yield f"search.parameters.{key}: is read once for the whole sweep and would change no trial; {way_out}"


def _models(config: SweepConfig) -> Iterator[str]:
    for key in OF_THE_MODEL:
        spec = config.search.parameters.get(key)
        if spec is not None and not (isinstance(spec, ChoiceSpec) and all(isinstance(choice, str) for choice in spec.choices)):
            yield f"search.parameters.{key}: give `choices`"
            return
    tuning, names = config.search.parameters.get(TUNING), config.search.parameters.get(MODEL_NAME)
    own = {MODEL_NAME: config.model.name, TEMPLATE: config.model.template}
    if isinstance(tuning, ChoiceSpec) and (others := [choice for choice in tuning.choices if choice not in TRAINED]):
        yield f"search.parameters.{TUNING}: trials are trained by {' or '.join(TRAINED)}, got {others[0]!r}; remove it"
    if isinstance(names, ChoiceSpec) and config.model.revision is not None:
        yield f"search.parameters.{MODEL_NAME}: model.revision is one model's; remove it, or give folders"
    for key, value in own.items():
        spec = config.search.parameters.get(key)
        if isinstance(spec, ChoiceSpec) and value not in spec.choices:
            way_out = f"set {key} to {spec.choices[0]!r}, say"
            yield f"search.parameters.{key}: all is held against {key}, which is none of the choices; {way_out}"


def _weights(config: SweepConfig) -> Iterator[str]:
    for key, spec in config.search.parameters.items():
        if not isinstance(spec, SimplexSpec):
            continue
        if key != TASK_WEIGHTS:
            yield f"search.parameters.{key}: weights that sum to 1 are {TASK_WEIGHTS} alone; give a range or choices"
        elif others := sorted(set(config.mixture.task_weights) - set(spec.simplex)):
            yield f"search.parameters.{key}: the file gives {others[0]} a weight too; add it to the simplex, or remove it there"
        elif single := [name for name in config.search.parameters if name.startswith(f"{key}.")]:
            yield f"search.parameters: {key} holds {single[0]}; give that task bounds in the simplex, and remove it"


def _values(config: SweepConfig) -> Iterator[str]:
    """Each end of each key, alone with what it hangs on."""
    whole = config.points.whole
    for key, spec in config.search.parameters.items():
        if isinstance(spec, SimplexSpec) or key.startswith(f"{DECODING}."):
            continue  # one setting alone may contradict what stands there; decoding was taken together
        if isinstance(spec, RangeSpec) and key in whole and any(end != int(end) for end in (spec.low, spec.high, spec.step or 1)):
            yield f"search.parameters.{key}: whole numbers are searched from whole numbers to whole numbers, by whole steps"
            continue
        for value in ends(spec):
            if value == 0 and key.startswith(f"{TASK_WEIGHTS}."):
                continue  # alone it may leave nothing to train; in a trial the other weights stand beside it
            try:
                config.with_values({**_given(config, key), key: value}, check_search=False)
            except ConfigError as error:
                yield f"search.parameters.{key}: {str(error).removeprefix('trial: ')}"
                break


def _given(config: SweepConfig, key: str) -> dict[str, Any]:
    """A value for all that a key's conditions hang on, with which it applies."""
    values: dict[str, Any] = {}
    for name in config.search.parameters[key].when:
        spec = config.search.parameters[name]
        wanted = config.search.parameters[key].when[name]
        values |= {**_given(config, name), name: next((value for value in ends(spec) if holds(wanted, value)), None)}
        if values[name] is None:  # within a range, and neither of its ends
            del values[name]
    return values


def _first_points(config: SweepConfig) -> Iterator[str]:
    points = config.points
    for point in config.search.first:
        if unknown := sorted(set(point) - set(config.search.parameters)):
            hint = did_you_mean(unknown[0], config.search.parameters)
            yield f"search.first: {point}: {unknown[0]!r} is not searched{hint or '; name searched keys alone'}"
            continue
        found = [*_first_values(config, point)]
        yield from found
        if found:
            continue
        draws = points.draws(point)
        applying = {key for key, spec in points.parameters.items() if points.applies(spec, draws)}
        if set(point) != applying:
            yield f"search.first: {point} must name exactly the searched keys that apply there: {sorted(applying)}"


def _first_values(config: SweepConfig, point: Mapping[str, Any]) -> Iterator[str]:
    for key, value in point.items():
        spec = config.search.parameters[key]
        if isinstance(spec, ChoiceSpec):
            if not any(holds([choice], value) for choice in spec.choices):
                yield f"search.first: {key} must be one of its choices {list(spec.choices)}, got {value!r}"
        elif isinstance(spec, RangeSpec):
            if isinstance(value, bool) or not isinstance(value, int | float) or not spec.low <= value <= spec.high:
                yield f"search.first: {key} must lie from {spec.low:g} to {spec.high:g}, got {value!r}"
        elif not isinstance(value, dict) or set(value) != set(spec.simplex) or abs(sum(value.values()) - 1.0) > 1e-6:
            yield f"search.first: {key} must give each of {list(spec.simplex)} a weight, and they must sum to 1, got {value!r}"
        else:
            for name, (low, high) in spec.bounds.items():
                if not low <= value[name] <= high:
                    yield f"search.first: {key}.{name} must lie from {low:g} to {high:g}, got {value[name]:g}"


def _grid(config: SweepConfig) -> Iterator[str]:
    if config.search.sampler != "grid" or not config.search.parameters:
        return
    points = config.points
    continuous = [key for key in config.search.parameters if not points.on_grid(key)]
    for key in continuous:
        yield f"search.parameters.{key}: sampler grid needs values that can be counted; give `step` or `choices`, or use qmc"
    if not continuous and (there := combinations(points, MOST_GRID_POINTS)) < config.search.trials:
        yield f"search.trials: the grid has {there} points, got {config.search.trials} trials; set trials: {there}"


def invalid_points(config: SweepConfig) -> Iterator[str]:
    """Corners and random points of the space that are no configuration; what a sampler can draw is checked before it does."""
    rng, points = random.Random(config.search.seed), config.points
    names = points.draw_names
    places = [dict.fromkeys(names, 0.0), dict.fromkeys(names, NEARLY_ONE)]
    places += [{name: rng.random() for name in names} for _ in range(CHECKED_DRAWS)]
    places += [{name: rng.choice((0.0, NEARLY_ONE)) for name in names} for _ in range(CHECKED_DRAWS)]
    for place in places if names else ():
        values = points.values(points.at(place))
        try:
            config.with_values(values, check_search=False)
        except ConfigError as error:
            at = ", ".join(f"{key} {value}" for key, value in values.items())
            yield (
                f"search.parameters: {str(error).removeprefix('trial: ')} (drawn together: {at}); "
                "keep them apart with `when:`, or narrow one of them"
            )
            return


def _decoding(config: SweepConfig) -> Iterator[str]:
    """Settings of decoding are taken together, since one may contradict another that it will never stand beside."""
    parameters = config.search.parameters
    for key in parameters:
        if key.startswith("evaluation.") and key not in (DECODING, MAX_NEW_TOKENS) and not key.startswith(f"{DECODING}."):
            yield f"search.parameters.{key}: all trials are asked the same; of `evaluation`, search decoding or max_new_tokens"
    whole = parameters.get(DECODING)
    if whole and not (isinstance(whole, ChoiceSpec) and all(isinstance(choice, str) for choice in whole.choices)):
        yield f"search.parameters.{DECODING}: give `choices` in their short form, such as [greedy, num_beams=4]"
    specs = {key: spec for key, spec in parameters.items() if key.startswith(f"{DECODING}.")}
    if whole and specs:
        yield f"search.parameters: {DECODING} holds {', '.join(specs)}; search the whole, or its settings"
    temperature = specs.get(f"{DECODING}.temperature")
    if isinstance(temperature, RangeSpec) and temperature.low < LOWEST_TEMPERATURE:
        rule = f"a range must start at {LOWEST_TEMPERATURE} or above, got {temperature.low:g}; 0 is greedy, give it as a choice"
        yield f"search.parameters.{DECODING}.temperature: {rule}"
    if any(spec.when for spec in specs.values()):
        return  # then they do not all stand beside one another
    for values in itertools.product(*(ends(spec) for spec in specs.values())) if specs else ():
        try:
            config.with_values(dict(zip(specs, values, strict=True)), check_search=False)
        except ConfigError as error:
            way_out = f"where settings exclude each other, search the whole: {DECODING}: {{choices: [greedy, num_beams=4]}}"
            yield f"search.parameters: {str(error).removeprefix('trial: ')}; {way_out}"
            return
