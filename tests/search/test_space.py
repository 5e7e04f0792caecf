"""Points of a searched space: what applies where, weights that sum to 1, and draws that the constraints refuse."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import optuna
import pytest

from mixwright.config import ModelConfig, SweepConfig
from mixwright.errors import ConfigError, RunError
from mixwright.models import load_base, with_adapter
from mixwright.scenarios import load_scenario
from mixwright.search import plan
from mixwright.search.checks import check_space
from mixwright.search.limits import Limits
from mixwright.search.searcher import TrialSearch, suggested, take_up
from mixwright.search.space import INFEASIBLE, Space, distributions
from mixwright.search.study import STUDY_NAME, StudyFile
from mixwright.store.studies import StudyPlace
from mixwright.train.sizes import model_sizes, trainable_parameters

FRACTION = {"low": 0.0, "high": 1.0}
RANK = {"low": 2, "high": 64, "log": True}
WEIGHTS = {"simplex": ["clarity", "fluency", "coherence"]}
CONDITIONS = {
    "lora.rank": {**RANK, "when": {"lora.use_dora": True}},
    "lora.alpha": {"low": 4, "high": 64, "when": {"lora.rank": {"low": 16}, "lora.use_dora": True}},
    "lora.use_dora": {"choices": [True, False]},
}


def config(parameters: dict[str, Any], **search: Any) -> SweepConfig:
    return SweepConfig.model_validate({"name": "x", "search": {"trials": 9, "parameters": parameters, **search}})


def random_values(space: Space, count: int = 200) -> list[dict[str, Any]]:
    rng = random.Random(0)
    return [space.values(space.random_draws(rng)) for _ in range(count)]


def test_weights_sum_to_one_and_their_draws_are_independent_uniform_numbers() -> None:
    space = Space(config({"mixture.task_weights": WEIGHTS}))
    assert [type(one).__name__ for one in space.distributions.values()] == ["FloatDistribution"] * 3
    for values in random_values(space):
        assert sum(values.values()) == pytest.approx(1.0, abs=1e-12)
        assert set(values) == {f"mixture.task_weights.{task}" for task in WEIGHTS["simplex"]}


def test_flat_weights_are_spread_evenly_over_the_simplex() -> None:
    """Of a flat Dirichlet over three, a weight exceeds x with probability (1 - x) squared."""
    found = [
        values["mixture.task_weights.clarity"] for values in random_values(Space(config({"mixture.task_weights": WEIGHTS})), 4000)
    ]
    for x in (0.2, 0.5, 0.8):
        assert sum(value > x for value in found) / len(found) == pytest.approx((1 - x) ** 2, abs=0.025)


def test_a_lower_concentration_favours_few_tasks() -> None:
    def largest(concentration: float) -> float:
        space = Space(config({"mixture.task_weights": {**WEIGHTS, "concentration": concentration}}))
        return sum(max(values.values()) for values in random_values(space)) / 200

    assert largest(0.2) > largest(1.0) + 0.1 > largest(10.0) + 0.2


def test_bounds_hold_a_lowest_weight_always_and_a_highest_by_refusing_draws(tmp_path: Path) -> None:
    weights = {**WEIGHTS, "bounds": {"clarity": [0.2, 0.4]}}
    search = searcher(tmp_path, {"mixture.task_weights": weights}, sampler="random")
    for number in range(9):
        clarity = search.suggest(f"r{number}")["mixture.task_weights.clarity"]
        assert 0.2 <= clarity <= 0.4


def test_first_weights_are_the_trial_s_own_to_the_last_digits(tmp_path: Path) -> None:
    wanted = {"clarity": 0.25, "fluency": 0.75, "coherence": 0.0}
    search = searcher(tmp_path, {"mixture.task_weights": WEIGHTS}, first=[{"mixture.task_weights": wanted}])
    given = search.suggest("r0")
    for task, weight in wanted.items():
        assert given[f"mixture.task_weights.{task}"] == pytest.approx(weight, abs=1e-9)


def test_a_key_is_drawn_where_its_conditions_hold_and_nowhere_else() -> None:
    space = Space(config(CONDITIONS))
    found = random_values(space)
    assert all(("lora.rank" in values) == values["lora.use_dora"] for values in found)
    assert all(("lora.alpha" in values) == (values["lora.use_dora"] and values["lora.rank"] >= 16) for values in found)
    assert {"lora.alpha" in values for values in found} == {True, False}


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])
def test_the_study_holds_no_value_that_nobody_read(tmp_path: Path, sampler: str) -> None:
    search = searcher(tmp_path, CONDITIONS, sampler=sampler, startup_trials=3)
    for number in range(9):
        given = search.suggest(f"r{number}")
        search.on_trial_complete(f"r{number}", result(given))
    for trial in study(tmp_path).get_trials():
        assert ("lora.rank" in trial.params) == trial.params["lora.use_dora"]


def test_choices_may_be_lists_which_the_study_keeps_as_text(tmp_path: Path) -> None:
    modules = [["q_proj"], ["q_proj", "v_proj"]]
    search = searcher(tmp_path, {"lora.target_modules": {"choices": modules}}, first=[{"lora.target_modules": modules[1]}])
    assert search.suggest("r0")["lora.target_modules"] == modules[1]
    assert study(tmp_path).get_trials()[0].params == {"lora.target_modules": '["q_proj", "v_proj"]'}


def test_whole_numbers_follow_from_the_declared_type_also_where_nothing_stands_there() -> None:
    found = distributions(config({"train.tokens_per_pass": {"low": 64, "high": 128}, "lora.alpha": {"low": 1, "high": 4}}))
    assert isinstance(found["train.tokens_per_pass"], optuna.distributions.IntDistribution)
    assert isinstance(found["lora.alpha"], optuna.distributions.FloatDistribution)


def test_every_point_of_the_grid_stands_there_once_and_conditions_thin_it_out() -> None:
    parameters = {
        "lora.rank": {"choices": [4, 8], "when": {"lora.use_dora": True}},
        "lora.use_dora": {"choices": [True, False]},
        "mixture.generic_fraction": {"low": 0.0, "high": 1.0, "step": 0.25},
    }
    grid = [*config(parameters).points.grid()]
    assert len(grid) == 3 * 5
    assert len({tuple(sorted(point.items())) for point in grid}) == len(grid)


def test_corners_of_weights_keep_their_bounds() -> None:
    space = config({"mixture.task_weights": {**WEIGHTS, "bounds": {"clarity": [0.1, 0.3]}}})
    found = plan.corners(space)
    assert [round(corner["mixture.task_weights.clarity"], 6) for corner in found] == [0.3, 0.1, 0.1]
    assert all(sum(corner.values()) == pytest.approx(1.0) for corner in found)


# constraints


def searcher(folder: Path, parameters: dict[str, Any], limits: Any = None, **search: Any) -> TrialSearch:
    names = ("seen", "unseen", "retention")
    settings = config(parameters, **search)
    return TrialSearch(settings, names, opened(folder, settings, names), evaluate_base=False, limits=limits)


def opened(folder: Path, settings: SweepConfig, names: tuple[str, ...] = ("seen", "unseen", "retention")) -> StudyFile:
    return StudyFile(StudyPlace(url=f"sqlite:///{folder}/study.db"), names, distributions(settings))


def study(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name=STUDY_NAME, storage=f"sqlite:///{folder}/study.db")


def result(values: dict[str, Any]) -> dict[str, Any]:
    return {"seen": float(values.get("lora.rank", 0)), "unseen": 1.0, "retention": 0.0, "training_iteration": 2}


class RankAtMost(Limits):
    """A constraint that looks at the rank alone."""

    def __init__(self, highest: int) -> None:
        self.highest = highest

    def excess(self, values: Any) -> dict[str, float]:
        return {"rank": values["lora.rank"] / self.highest - 1.0}


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2", "random", "qmc"])
def test_what_the_constraints_refuse_is_recorded_and_never_suggested(tmp_path: Path, sampler: str) -> None:
    """The score pulls towards what is refused; a sampler that does not learn is still answered with chance."""
    objective = {"kind": "constrained"}
    parameters = {"lora.rank": RANK, "mixture.generic_fraction": FRACTION}
    settings = config(parameters, sampler=sampler, objective=objective)
    file = opened(tmp_path, settings, ("objective",))
    search = TrialSearch(settings, ("objective",), file, evaluate_base=False, limits=RankAtMost(8))
    ranks = []
    for number in range(6):
        given = search.suggest(f"r{number}")
        ranks.append(given["lora.rank"])
        search.on_trial_complete(f"r{number}", {**result(given), "objective": given["lora.rank"]})
    assert max(ranks) <= 8
    trials = study(tmp_path).get_trials()
    refused = [trial for trial in trials if INFEASIBLE in trial.user_attrs]
    assert refused
    assert {trial.state.name for trial in refused} == {"PRUNED"}
    assert all(trial.params["lora.rank"] > 8 and trial.constraints["rank"] > 0 for trial in refused)
    assert sum(trial.state.name == "COMPLETE" for trial in trials) == 6


def test_a_refused_draw_is_no_trial_to_take_up_again(tmp_path: Path) -> None:
    search = searcher(tmp_path, {"lora.rank": RANK}, RankAtMost(4), sampler="random")
    given = search.suggest("r0")
    file = opened(tmp_path, config({"lora.rank": RANK}))
    assert len(suggested(file)) > 1
    assert take_up(file, [], ("seen", "unseen", "retention")) == [given["trial_id"]]


def test_a_space_without_a_feasible_point_ends_with_a_clear_error(tmp_path: Path) -> None:
    search = searcher(tmp_path, {"lora.rank": RANK}, RankAtMost(1), sampler="random")
    with pytest.raises(RunError, match=r"search.constraints: of 2000 random points of the space none keeps rank; loosen"):
        search.suggest("r0")


@pytest.mark.parametrize("use_dora", [False, True])
@pytest.mark.parametrize("modules", [["q_proj", "down_proj"], None])
def test_trainable_parameters_are_those_that_peft_makes(tiny_model: Path, use_dora: bool, modules: list[str] | None) -> None:
    import torch

    lora: dict[str, Any] = {"rank": 6, "use_dora": use_dora, **({"target_modules": modules} if modules else {})}
    settings = SweepConfig.model_validate({"name": "x", "model": {"name": str(tiny_model)}, "lora": lora})
    model = with_adapter(load_base(ModelConfig(name=str(tiny_model)), torch.float32).model, settings.lora, name="a", seed=0)
    made = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trainable_parameters(settings, model_sizes(settings)) == made


def on_tiny_model(model: Path, search: dict[str, Any]) -> SweepConfig:
    return SweepConfig.model_validate({"name": "x", "model": {"name": str(model)}, "search": {"trials": 4, **search}})


def test_the_constraints_are_held_against_the_trial_s_own_rank(tiny_model: Path) -> None:
    per_rank = model_sizes(on_tiny_model(tiny_model, {"trials": 1})).adapter_width
    settings = on_tiny_model(
        tiny_model, {"parameters": {"lora.rank": RANK}, "constraints": {"max_trainable_parameters": 8 * per_rank}}
    )
    space = Space(settings, Limits(settings, "fp32"))
    assert space.is_feasible({"lora.rank": 8})
    assert space.excess({"lora.rank": 16}) == {"trainable_parameters": pytest.approx(1.0)}


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (
            {"constraints": {"max_trainable_parameters": 10}},
            "search.constraints: of 500 random points of the space none keeps trainable_parameters; loosen the constraint",
        ),
        ({"constraints": {"max_memory_gib": 0.0001}}, "none keeps memory_gib"),
        (
            {"constraints": {"max_trainable_parameters": 20000}, "first": [{"lora.rank": 64}]},
            "search.first: {'lora.rank': 64} breaks trainable_parameters; remove it, or loosen search.constraints",
        ),
        (
            {
                "constraints": {"max_trainable_parameters": 20000},
                "sampler": "grid",
                "parameters": {"lora.rank": {"choices": [2, 4, 32, 64]}},
            },
            "search.trials: the constraints leave 2 points of the grid, got 4 trials",
        ),
        (
            {"parameters": {"mixture.task_weights": {"simplex": ["clarity", "fluencey"]}}},
            "search.parameters.mixture.task_weights: 'fluencey' is no trained task; did you mean 'fluency'?",
        ),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_before_anything_starts(
    tiny_model: Path, search: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_space(on_tiny_model(tiny_model, {"parameters": {"lora.rank": RANK}, **search}), load_scenario("writing"))
    assert expected in str(caught.value)


def test_an_objective_that_nobody_reports_is_refused() -> None:
    everything_seen = load_scenario("writing").with_unseen(())
    for objective in ({"kind": "constrained", "maximize": "unseen"}, {"names": ["seen", "unseen"]}):
        with pytest.raises(ConfigError, match=r"search.objective: unseen is reported by no trial, since scenario 'writing'"):
            check_space(config({"lora.rank": RANK}, objective=objective), everything_seen)
