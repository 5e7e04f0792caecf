"""Settings of one source: what is missing or would be ignored is told before anything is read."""

import pytest

from mixwright.config import DataConfig, SourceConfig
from mixwright.errors import ConfigError
from mixwright.settings import validate


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"format": "hub", "task": "t"}, "needs `hub_id`"),
        ({"format": "alpaca"}, "needs `path`"),
        ({"format": "parallel", "path": "p", "task": "t"}, "needs `references`"),
        ({"format": "m2", "path": "p"}, "needs `task`"),
        ({"format": "alpaca", "path": "p", "task": "fluency"}, "generic instructions"),
        (
            {"format": "m2", "path": "p", "task": "t", "reverse": True},
            "`reverse` is read by format wikisplit and onestopenglish alone",
        ),
        ({"format": "alpaca", "path": "p", "hub_id": "x/y"}, "`hub_id` is read by format hub alone"),
        ({"format": "jsonl", "path": "p", "use": "training"}, "use: must be 'train', 'evaluation' or 'both', got 'training'"),
        ({"format": "json", "path": "p"}, "must be 'embedded'"),
        ({"format": "jsonl", "path": "p", "evaluation_fraction": 1.0}, "less than 1"),
        ({"format": "stsb", "path": "p", "task": "t", "min_similarity": 6}, "less than or equal to 5"),
    ],
)
def test_a_source_that_cannot_be_read_as_written_is_refused(settings, told):
    with pytest.raises(ConfigError, match="sources") as caught:
        validate(DataConfig, {"sources": [{"name": "made", **settings}]}, where="data")
    assert told in str(caught.value)


def test_a_source_survives_its_own_dump():
    source = SourceConfig(name="made", format="stsb", path="p", task="t", min_similarity=4.0)
    assert SourceConfig.model_validate(source.model_dump()) == source
