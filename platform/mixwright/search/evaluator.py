"""The dev evaluation that a lane runs at every rung; search hands it to training, which does not know how scores are made.

What comes in: the lane's setup and the base model on one worker. What goes out: objectives and per-task scores, the same on
every worker. Below ZeRO-3 the workers share the rows out; at ZeRO-3 each forward pass needs all of them, so all take every
row in step.
"""

from __future__ import annotations

from typing import Any

from mixwright.config import EvaluationConfig
from mixwright.evaluate.metric import Metric, make_metric
from mixwright.evaluate.retention import response_nll, retention_rows
from mixwright.evaluate.runner import EvaluationRow, evaluation_rows, predict, task_means
from mixwright.generate.transformers_engine import TransformersEngine
from mixwright.models import LoadedModel
from mixwright.records import Objectives, Prediction
from mixwright.scenarios import Scenario
from mixwright.train import workers
from mixwright.train.resident import Evaluation, Setup


class DevEvaluator:
    """Rows, metrics and the base model's NLL, made ready once for all trials of a lane."""

    def __init__(self, setup: Setup, base: LoadedModel) -> None:
        self._scenario: Scenario = setup.scenario
        self._settings: EvaluationConfig = setup.config.evaluation
        self._tokenizer = base.tokenizer
        self._in_step = setup.config.train.zero_stage == 3
        seed = setup.config.search.seed
        self._rows = evaluation_rows(self._scenario, setup.data.dev, self._settings.dev_rows, seed=seed)
        self._generic = retention_rows(setup.data.dev, self._settings.retention_rows, seed=seed)
        self._metrics: dict[str, Metric] = {task.name: make_metric(task.metric) for task in self._scenario.tasks}
        self._base_nll = self._nll(base.model)

    def __call__(self, model: Any) -> Evaluation:
        scores = self._task_scores(self._predictions(model))
        seen, unseen = task_means(self._scenario, scores)
        retention = self._base_nll - self._nll(model)
        return Evaluation(objectives=Objectives(seen=seen, unseen=unseen, retention=retention), task_scores=scores)

    def _predictions(self, model: Any) -> list[Prediction]:
        engine = TransformersEngine(model, self._tokenizer, batch_size=self._settings.batch_size)
        own = self._rows if self._in_step else self._own_share()
        predictions = predict(engine, self._tokenizer, own, system="trial", max_new_tokens=self._settings.max_new_tokens)
        if self._in_step:
            return predictions
        shares = workers.gather_objects(predictions)
        return [prediction for share in shares for prediction in share]

    def _own_share(self) -> list[EvaluationRow]:
        return list(self._rows[workers.rank() :: workers.world_size()])

    def _task_scores(self, predictions: list[Prediction]) -> dict[str, float]:
        scores = {}
        for task, metric in self._metrics.items():
            mine = sorted((item for item in predictions if item.task == task), key=lambda item: item.example_id)
            statistics = metric.statistics(
                [item.text for item in mine], [item.output for item in mine], [item.references for item in mine]
            )
            scores[task] = float(metric.aggregate(statistics))
        return scores

    def _nll(self, model: Any) -> float:
        return response_nll(model, self._tokenizer, self._generic, batch_size=self._settings.batch_size)
