"""The dev evaluation that a lane runs at every rung; search hands it to training, which does not know how scores are made.

What comes in: the lane's setup and the base model on one worker, then models, each with the configuration that says how it
answers. What goes out: objectives and per-task scores, the same on every worker. Below ZeRO-3 the workers share the rows out; at
ZeRO-3 each forward pass needs all of them, so all take every row in step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixwright.config import EvaluationConfig, SweepConfig
from mixwright.errors import DataError
from mixwright.evaluate.intervals import FloatArray, mean_standard_error
from mixwright.evaluate.retention import LossDifference, example_losses
from mixwright.evaluate.runner import RungScores, child_seed, evaluation_rows, predict, rung_scores
from mixwright.generate.batch import Limits
from mixwright.generate.continuous import ContinuousEngine
from mixwright.generate.engine import Engine
from mixwright.generate.transformers_engine import TransformersEngine
from mixwright.models import LoadedModel
from mixwright.records import BASE, GENERIC, Objectives, Prediction
from mixwright.train import workers
from mixwright.train.resident import ADAPTER, Evaluation, Setup

ERROR_DRAWS = 200
"""Resamples behind the error bars of a rung: they find a standard error to about 5 %, in milliseconds."""


class DevEvaluator:
    """Rows and the base model's losses, made ready once for all trials of a lane."""

    def __init__(self, setup: Setup, base: LoadedModel) -> None:
        self._scenario = setup.scenario
        self._settings = setup.config.evaluation
        self._tokenizer = base.tokenizer
        self._in_step = setup.config.train.zero_stage == 3
        self._rows = evaluation_rows(setup.scenario, setup.data.dev, rows=self._settings.dev_rows, seed=setup.config.search.seed)
        self._generic = setup.data.dev[GENERIC][: self._settings.retention_rows]
        self._seed = setup.config.search.seed
        self._base_losses = self._losses(base.model)

    def __call__(self, model: Any, config: SweepConfig) -> Evaluation:
        predictions = self._predictions(model, config.evaluation, prepack=config.train.prepack is True)
        rung = rung_scores(self._scenario, predictions, draws=ERROR_DRAWS, seed=self._seed)
        if rung.means.seen is None:
            raise DataError("no trained task has dev rows; add a source with `use: evaluation` or `both` for one")
        losses = self._losses(model)
        gains = np.stack([self._base_losses[:, 0] - losses[:, 0], losses[:, 1]], axis=1)
        kept = LossDifference()
        error = mean_standard_error([(kept, gains)], draws=ERROR_DRAWS, seed=child_seed(self._seed, "retention"))
        return Evaluation(
            objectives=Objectives(
                seen=rung.means.seen, unseen=rung.means.unseen, retention=float(kept.from_totals(gains.sum(axis=0)))
            ),
            task_scores=rung.scores,
            standard_errors=_errors(rung, error),
            row_influences={
                task: tuple(round(float(value), 3) for value in rung.influences[task])
                for task in self._scenario.seen
                if task in rung.influences
            },
            generic_loss=float(losses[:, 0].sum() / losses[:, 1].sum()),
        )

    def _predictions(self, model: Any, settings: EvaluationConfig, *, prepack: bool = False) -> list[Prediction]:
        adapter = ADAPTER if ADAPTER in getattr(model, "peft_config", {}) else BASE
        engine = self._engine(model, adapter, prepack=prepack)
        own = self._rows if self._in_step else self._rows[workers.rank() :: workers.world_size()]
        predictions = predict(
            engine, self._tokenizer, own, "trial", settings.max_new_tokens, decoding=settings.decoding, adapter=adapter
        )
        if self._in_step:
            return predictions
        return [prediction for share in workers.gather_objects(predictions) for prediction in share]

    def _engine(self, model: Any, adapter: str, *, prepack: bool) -> Engine:
        """Our own where the base is frozen and whole, with the copies of its weights that training keeps."""
        if adapter == BASE or self._in_step:
            return TransformersEngine(model, self._tokenizer, batch_size=self._settings.batch_size)
        return ContinuousEngine(model, self._tokenizer, limits=Limits(rows=self._settings.batch_size), prepack=prepack)

    def _losses(self, model: Any) -> FloatArray:
        return example_losses(model, self._tokenizer, self._generic, batch_size=self._settings.batch_size)


def _errors(rung: RungScores, of_retention: float | None) -> Objectives | None:
    """None where one of the objectives has no standard error: one row says nothing of the spread."""
    if rung.errors.seen is None or of_retention is None or (rung.errors.unseen is None) != (rung.means.unseen is None):
        return None
    return Objectives(seen=rung.errors.seen, unseen=rung.errors.unseen, retention=of_retention)
