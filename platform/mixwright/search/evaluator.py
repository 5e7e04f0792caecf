"""The dev evaluation that a lane runs at every rung; search hands it to training, which does not know how scores are made.

What comes in: the lane's setup and the base model on one worker, then models, each with the configuration that says how it
answers. What goes out: objectives and per-task scores, the same on every worker. Below ZeRO-3 the workers share the rows out; at
ZeRO-3 each forward pass needs all of them, so all take every row in step.
"""

from __future__ import annotations

from typing import Any

from mixwright.config import EvaluationConfig, SweepConfig
from mixwright.errors import DataError
from mixwright.evaluate.retention import response_nll
from mixwright.evaluate.runner import evaluation_rows, predict, task_means, task_scores
from mixwright.generate.transformers_engine import TransformersEngine
from mixwright.models import LoadedModel
from mixwright.records import BASE, GENERIC, Objectives, Prediction
from mixwright.train import workers
from mixwright.train.resident import ADAPTER, Evaluation, Setup


class DevEvaluator:
    """Rows and the base model's NLL, made ready once for all trials of a lane."""

    def __init__(self, setup: Setup, base: LoadedModel) -> None:
        self._scenario = setup.scenario
        self._settings = setup.config.evaluation
        self._tokenizer = base.tokenizer
        self._in_step = setup.config.train.zero_stage == 3
        self._rows = evaluation_rows(setup.scenario, setup.data.dev, rows=self._settings.dev_rows, seed=setup.config.search.seed)
        self._generic = setup.data.dev[GENERIC][: self._settings.retention_rows]
        self._base_nll = self._nll(base.model)

    def __call__(self, model: Any, config: SweepConfig) -> Evaluation:
        scores = task_scores(self._scenario, self._predictions(model, config.evaluation))
        means = task_means(self._scenario, scores)
        if means.seen is None:
            raise DataError("no trained task has dev rows; add a source with `use: evaluation` or `both` for one")
        retention = self._base_nll - self._nll(model)
        return Evaluation(objectives=Objectives(seen=means.seen, unseen=means.unseen, retention=retention), task_scores=scores)

    def _predictions(self, model: Any, settings: EvaluationConfig) -> list[Prediction]:
        engine = TransformersEngine(model, self._tokenizer, batch_size=self._settings.batch_size)
        adapter = ADAPTER if ADAPTER in getattr(model, "peft_config", {}) else BASE
        own = self._rows if self._in_step else self._rows[workers.rank() :: workers.world_size()]
        predictions = predict(
            engine, self._tokenizer, own, "trial", settings.max_new_tokens, decoding=settings.decoding, adapter=adapter
        )
        if self._in_step:
            return predictions
        return [prediction for share in workers.gather_objects(predictions) for prediction in share]

    def _nll(self, model: Any) -> float:
        return response_nll(model, self._tokenizer, self._generic, batch_size=self._settings.batch_size)
