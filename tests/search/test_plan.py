"""The plan of a sweep that trains nothing; what training takes is planned in the cluster's tests."""

from __future__ import annotations

from pathlib import Path

from mixwright.config import load_config
from mixwright.models import COMPLETE
from mixwright.scenarios import load_scenario
from mixwright.search import plan

SPACE = Path(__file__).parents[2] / "search_spaces" / "decoding.yaml"


def test_the_shipped_space_is_planned_without_its_adapter_and_says_so(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "best"
    config = load_config(SPACE, [f"model.name={tiny_model}", f"model.adapter={folder}"])
    made = plan.make(config, load_scenario(config.scenario))
    assert (made.trials, made.steps, made.tokens, made.hours) == (len(config.search.first), 0, (0, 0), 0.0)
    assert (made.answers, made.longest_answer) == (7 * config.evaluation.dev_rows, 40)
    lines = plan.describe(made).splitlines()
    assert lines[0] == "trials           8, without training"
    assert lines[1] == f"adapter          {folder} (not there yet)"
    folder.mkdir()
    (folder / COMPLETE).touch()
    assert plan.describe(made).splitlines()[1] == f"adapter          {folder}"
