"""The endpoint on Ray Serve: a thin ingress, and behind it replicas that batch over requests and adapters.

    serve run serve/config.yaml                        serves runs/demo
    MIXWRIGHT_RUN=runs/other serve run serve/config.yaml

What comes in: `args` (see `settings.EndpointArguments`), or from a sweep its own configuration. What goes out: an
application, or a running endpoint and its address. Texts of many requests meet in one queue, whatever their adapter: a batch
is filled by whoever is waiting. The ingress holds no model and is not multiplexed, so any of it can answer for any adapter.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayTaskError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from mixwright.config import ModelConfig, ServeConfig
from mixwright.errors import MixwrightError, ServeError
from mixwright.evaluate.retention import ResponseLoss
from mixwright.generate.engine import Request
from mixwright.scenarios import Scenario
from serve.engine import Question, load_answerer
from serve.front import BusyError, Front, make_app
from serve.schema import NllRow
from serve.settings import Endpoint, Precision, of_run, resolve

APP_NAME = "mixwright"
QUEUED_BATCHES = 4
"""Batches that a replica takes in at once, so that the next is full when one ends."""
MAX_QUEUED_QUESTIONS = 4096
"""Texts waiting at the ingress beyond that; more are refused with status 503."""
MAX_REQUESTS = 1000
"""HTTP requests that the ingress works on at once."""
START_TIMEOUT_S = 60.0


class EngineReplica:
    """One copy of the base model with all adapters."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._answerer = load_answerer(endpoint)
        self._alone = asyncio.Lock()  # PEFT hangs a batch's adapters on the layers, so one pass at a time
        batching: Any = self._generate
        batching.set_max_batch_size(endpoint.serve.max_batch_size)
        batching.set_batch_wait_timeout_s(endpoint.serve.batch_wait_s)

    async def ready(self) -> bool:
        return True

    async def answer(self, question: Question) -> str:
        """One text; it is decoded together with whatever else is waiting."""
        request = self._answerer.request(question)  # refused here, it cannot spoil the batch for others
        return str(await self._generate(request))

    @serve.batch
    async def _generate(self, requests: list[Request]) -> list[str]:
        async with self._alone:
            return await asyncio.to_thread(self._answerer.engine.generate, requests)

    async def nll(self, rows: Sequence[NllRow], adapter: str) -> ResponseLoss:
        async with self._alone:
            return await asyncio.to_thread(self._answerer.nll, rows, adapter)


class HandleBackend:
    """The front's view of the replicas."""

    def __init__(self, engine: DeploymentHandle[Any]) -> None:
        self._engine = engine

    async def ready(self) -> None:
        await self._engine.ready.remote()

    async def answer(self, questions: Sequence[Question]) -> list[str]:
        return list(await asyncio.gather(*(self._ask(self._engine.answer, question) for question in questions)))

    async def nll(self, rows: Sequence[NllRow], adapter: str) -> ResponseLoss:
        loss: ResponseLoss = await self._ask(self._engine.nll, rows, adapter)
        return loss

    async def _ask(self, method: Any, *arguments: Any) -> Any:
        try:
            return await method.remote(*arguments)
        except BackPressureError as error:
            raise BusyError from error
        except RayTaskError as error:
            if isinstance(error.cause, MixwrightError):
                raise error.cause from None
            raise


@serve.ingress()
class Ingress:
    """Speaks HTTP and hands texts on."""

    def __init__(self, engine: DeploymentHandle[Any], front: Front) -> None:
        self._engine, self._front = engine, front

    def __serve_build_asgi_app__(self) -> FastAPI:
        return make_app(HandleBackend(self._engine), self._front)


def build(args: dict[str, Any]) -> serve.Application:
    """The application that `serve run` starts; see `settings.EndpointArguments` for what `args` may hold.

    Raises:
        ServeError: nothing to serve.
        ConfigError: an argument that breaks a rule.
    """
    return application(resolve(args))


def application(endpoint: Endpoint) -> serve.Application:
    """Ingress and replicas of one endpoint."""
    batch = endpoint.serve.max_batch_size
    engine: Any = serve.deployment(
        EngineReplica,
        name="engine",
        ray_actor_options={"num_cpus": endpoint.serve.cpus_per_replica, "num_gpus": endpoint.serve.gpus_per_replica},
        max_ongoing_requests=QUEUED_BATCHES * batch,
        max_queued_requests=MAX_QUEUED_QUESTIONS,
    )
    ingress: Any = serve.deployment(Ingress, name="ingress", ray_actor_options={"num_cpus": 0}, max_ongoing_requests=MAX_REQUESTS)
    front = Front(
        model=endpoint.model.name, adapters=tuple(endpoint.adapters), scenario=endpoint.scenario, run_dir=endpoint.run_dir
    )
    bound: serve.Application = ingress.bind(engine.bind(endpoint), front)
    return bound


def start(config: ServeConfig, run_dir: Path, model: ModelConfig, scenario: Scenario, *, precision: Precision = "auto") -> str:
    """Starts the endpoint of a run in the Ray cluster of this process and returns its address once it answers.

    Raises:
        ServeError: the port is taken, the run has no complete adapter, or the endpoint does not come up.
    """
    endpoint = of_run(config, run_dir, model, scenario, precision)
    check_port(config)
    serve.start(http_options={"host": config.host, "port": config.port})
    try:
        serve.run(application(endpoint), name=APP_NAME, route_prefix="/")
    except RuntimeError as error:
        stop()
        raise ServeError(f"the endpoint did not start: {_cause(error)}") from error
    url = f"http://{config.host}:{config.port}"
    _wait_until_healthy(url)
    return url


def stop() -> None:
    """Ends the endpoint and frees its port and resources; nothing happens where none runs."""
    serve.shutdown()  # type: ignore[no-untyped-call]


def check_port(config: ServeConfig) -> None:
    """Refuses a port that another process listens on; Ray Serve itself would share it, and answers would come from either.

    Raises:
        ServeError: the port is taken, or the host is no address of this machine.
    """
    with socket.socket(socket.AF_INET6 if ":" in config.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, config.port))
        except OSError as error:
            way_out = "stop what listens there (serve shutdown), or choose another with --set serve.port=8001"
            raise ServeError(f"serve.port: {config.host}:{config.port} cannot be used ({error.strerror}); {way_out}") from None


def _wait_until_healthy(url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/healthz", timeout=10).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise ServeError(f"{url}: no answer from /healthz within {START_TIMEOUT_S:.0f} s; see `serve status` and the Ray dashboard")


def _cause(error: RuntimeError) -> str:
    """The line of Serve's report that names our error, else its first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "Error: " in line), lines[0] if lines else "no reason given")
