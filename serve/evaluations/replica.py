"""Evaluations on Ray Serve: one replica without a model, which asks the engine's replicas as the ingress does.

What comes in: the endpoint and its engine. What goes out: a deployment's class, and the ingress' view of it. It belongs to the
application: started again after a death, it goes on with what the run folder says is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

from mixwright.config import load_config
from mixwright.errors import MixwrightError
from serve.errors import AwayError, BusyError, RefusedError
from serve.evaluations.evaluator import Asks, Evaluator
from serve.evaluations.folder import Store
from serve.evaluations.plan import Planner
from serve.evaluations.shapes import Evaluation, EvaluationRequest
from serve.handle import HandleBackend
from serve.settings import Endpoint

FOLDER = "evaluations"


def evaluator_of(endpoint: Endpoint, backend: Asks) -> Evaluator:
    """The evaluations of the run that an endpoint serves."""
    run_dir = endpoint.folder()
    planner = Planner(
        load_config(run_dir / "config.yaml"),
        endpoint.scenario,
        {"model": endpoint.model.model_dump(mode="json"), "precision": endpoint.precision},
        endpoint.store(),
    )
    replicas = endpoint.serve.replicas
    certain = replicas if isinstance(replicas, int) else replicas.min
    concurrency = certain * concurrent_questions(endpoint.serve.max_batch_size)
    return Evaluator(Store(run_dir / FOLDER), planner, endpoint.scenario, backend, concurrency=concurrency)


def concurrent_questions(batch_size: int) -> int:
    """Three quarters of a replica's rows: the rest is for whoever asks meanwhile, and finds a place at once."""
    return max(1, batch_size * 3 // 4)


class EvaluationReplica:
    """The one replica; see `Evaluator` for what each method does.

    What `Evaluator` raises comes back as a value: Serve writes an exception that leaves a replica to its log, and what a refusal
    quotes of a request has no business there.
    """

    def __init__(self, engine: DeploymentHandle[Any], endpoint: Endpoint) -> None:
        self._evaluator = evaluator_of(endpoint, HandleBackend(engine, timeout_s=endpoint.serve.request_timeout_s))
        self._work = asyncio.get_running_loop().create_task(self._evaluator.work())

    async def create(self, request: EvaluationRequest) -> Evaluation | Exception:
        return await _or_refusal(self._evaluator.create(request))

    async def all(self) -> list[Evaluation]:
        return await self._evaluator.list()

    async def get(self, evaluation_id: str) -> Evaluation | Exception:
        return await _or_refusal(self._evaluator.get(evaluation_id))

    async def cancel(self, evaluation_id: str) -> Evaluation | Exception:
        return await _or_refusal(self._evaluator.cancel(evaluation_id))

    async def predictions(self, evaluation_id: str) -> AsyncIterator[str]:
        async for chunk in self._evaluator.predictions(evaluation_id):
            yield chunk

    def check_health(self) -> None:
        """Serve starts the replica again where this raises."""
        if self._work.done():
            self._work.result()


class HandleEvaluations:
    """The ingress' view of the replica."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle

    async def create(self, request: EvaluationRequest) -> Evaluation:
        created: Evaluation = await _asked(self._handle.create, request)
        return created

    async def list(self) -> list[Evaluation]:
        found: list[Evaluation] = await _asked(self._handle.all)
        return found

    async def get(self, evaluation_id: str) -> Evaluation:
        found: Evaluation = await _asked(self._handle.get, evaluation_id)
        return found

    async def cancel(self, evaluation_id: str) -> Evaluation:
        cancelled: Evaluation = await _asked(self._handle.cancel, evaluation_id)
        return cancelled

    async def predictions(self, evaluation_id: str) -> AsyncIterator[str]:
        streaming: Any = self._handle.options(stream=True)
        async for chunk in streaming.predictions.remote(evaluation_id):
            yield chunk


async def _or_refusal(evaluation: Awaitable[Evaluation]) -> Evaluation | Exception:
    try:
        return await evaluation
    except (MixwrightError, RefusedError, BusyError) as error:
        return error.with_traceback(None)


async def _asked(method: Any, *arguments: Any) -> Any:
    try:
        found = await method.remote(*arguments)
    except BackPressureError as error:
        raise BusyError from error
    except (RayActorError, ReplicaUnavailableError, DeploymentUnavailableError) as error:
        raise AwayError("evaluations are starting again; ask again in some seconds") from error
    if isinstance(found, Exception):
        raise found
    return found
