"""The data parts of the search spaces that we ship."""

from pathlib import Path

import pytest
from made_up_files import write_jsonl

from mixwright.config import load_config
from mixwright.data.prepare import prepare
from mixwright.scenarios import load_scenario

SPACES = Path(__file__).parents[2] / "search_spaces"


@pytest.mark.parametrize("name", ["real_small", "hub_writing"])
def test_every_source_names_tasks_of_its_scenario_and_paraphrasing_is_never_trained_on(name):
    config = load_config(SPACES / f"{name}.yaml")
    scenario = load_scenario(config.scenario, SPACES)
    known = {*(task.name for task in scenario.tasks), "generic"}
    assert "paraphrasing" in scenario.unseen
    for source in config.data.sources:
        assert {task for task in (source.task, *source.labels.values()) if task} <= known
        if "paraphrasing" in (source.task, *source.labels.values()):
            assert source.use == "evaluation"


def columns_of(hub_id, number):
    """One made-up row with the columns that the dataset's card declares."""
    text, answer = f"Sentence number {number} stand here .", f"Sentence number {number} stands here ."
    intents = ("fluency", "clarity", "coherence", "style")
    edits = ("gec", "neutralize", "simplification", "paraphrase", "coherence", "clarity")
    return {
        "tatsu-lab/alpaca": {"instruction": f"Name {number} things.", "input": "", "output": answer, "text": f"Below is {number}"},
        "grammarly/coedit": {"_id": str(number), "task": edits[number % 6], "src": f"Fix this: c {text}", "tgt": f"c {answer}"},
        "jhu-clsp/jfleg": {"sentence": f"j {text}", "corrections": [f"j {answer}", f"J {answer}", "", f"jj {answer}"]},
        "facebook/asset": {"original": f"a {text}", "simplifications": [f"a {answer}", f"A short {answer}"]},
        "wanyu/IteraTeR_human_sent": {
            "before_sent": f" i {text}",
            "before_sent_with_intent": f"<fluency> i {text}",
            "after_sent": f"i {answer}",
            "labels": intents[number % 4],
            "doc_id": f"doc{number % 40}",
            "revision_depth": 1,
        },
    }[hub_id]


def test_hub_space_prepares_datasets_with_the_columns_of_their_cards(tmp_path):
    pytest.importorskip("datasets")
    config = load_config(SPACES / "hub_writing.yaml")
    local = []
    for index, source in enumerate(config.data.sources):
        rows = [columns_of(source.hub_id, 1000 * index + row) for row in range(160)]
        write_jsonl(tmp_path / source.name / f"{source.hub_split}.jsonl", rows)
        local.append(source.model_copy(update={"hub_id": source.name, "hub_config": None}))
    data = prepare(
        config.data.model_copy(update={"root": str(tmp_path), "sources": tuple(local)}), load_scenario("writing"), seed=0
    )
    assert all(data.train[task] for task in (*load_scenario("writing").seen, "generic"))
    assert data.test["paraphrasing"]
    documents = [{row.group for row in split["clarity"] if row.group} for split in (data.train, data.dev, data.test)]
    assert not documents[0] & (documents[1] | documents[2])
