"""The endpoint on Ray Serve: a thin ingress, and behind it replicas that decode rows of all requests and adapters together.

    serve run serve/config.yaml                        serves runs/demo
    MIXWRIGHT_RUN=runs/other serve run serve/config.yaml

What comes in: `args` (see `settings.EndpointArguments`), or from a sweep its own configuration. What goes out: an application, or a
running endpoint and its address. Texts of many requests share passes, whatever their adapter: a row enters when there is room. The
ingress holds no model and is not multiplexed, so any of it can answer for any adapter.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import LoggingConfig

from mixwright.config import Autoscaling, ModelConfig, ServeConfig
from mixwright.errors import MixwrightError, ServeError
from mixwright.evaluate.client import EndpointClient
from mixwright.evaluate.retention import ResponseLoss
from mixwright.generate.loop import FullError
from mixwright.scenarios import Scenario
from serve.adapters import StoredNames
from serve.engine import Completed, Prompt, Question, TokenScores
from serve.evaluations.replica import EvaluationReplica, HandleEvaluations
from serve.front import Front, make_app
from serve.handle import HandleBackend
from serve.loading import load_replica
from serve.metrics import ReplicaMetrics, RequestMetrics
from serve.safety import NO_KEY, Rules, check_host, rules_from_environment
from serve.schema import NllRow
from serve.service import Delta, LateError, Refusal
from serve.settings import Endpoint, Precision, of_run, resolve

APP_NAME = "mixwright"
QUEUED_BATCHES = 4
"""Batches that a replica takes in at once, so that the next is full when one ends."""
MAX_QUEUED_QUESTIONS = 4096
"""Texts waiting at the ingress beyond that; more are refused with status 429."""
REFUSALS = (MixwrightError, FullError, LateError)
"""What a client has to do with; anything else is a fault of our own, and belongs in the log."""
DRAIN_LOOP_S = 0.5
"""How often a replica that is to go looks whether its last request is answered."""
MAX_REQUESTS = 1000
"""HTTP requests that the ingress works on at once."""
ANSWER_TIMEOUT_S = 30.0
"""Of the first answer, once Serve says that the application is ready."""
QUIET = LoggingConfig(enable_access_log=False)
"""A line a request would drown the progress of the sweep that asks."""


class EngineReplica:
    """One copy of the base model; adapters come to it when they are asked for."""

    def __init__(self, endpoint: Endpoint) -> None:
        _log_with_serve()
        self._metrics = ReplicaMetrics()
        self._replica = load_replica(endpoint, self._metrics, _end_this_process)
        self._metrics.counts = lambda: self._replica.residents.counts
        self._service = self._replica.service

    async def ready(self) -> bool:
        return True

    async def check_health(self) -> None:
        """Serve asks this every few seconds, at work or not."""
        self._metrics.refresh()
        await self._replica.check_health()

    async def state(self) -> dict[str, int]:
        """What it is at, for those who look after it."""
        return {"pid": os.getpid(), **self._replica.state()}

    async def answer(self, question: Question) -> str | Refusal:
        """One text; its row shares passes with whatever else is in work."""
        try:
            return (await self._service.answer([question]))[0]
        except REFUSALS as error:
            return Refusal(error)

    async def complete(self, prompt: Prompt) -> Completed | Refusal:
        """One continuation."""
        try:
            return (await self._service.complete([prompt]))[0]
        except REFUSALS as error:
            return Refusal(error)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta | Refusal, None]:
        """One continuation, piece by piece."""
        try:
            async with aclosing(self._service.stream(prompt)) as deltas:
                async for delta in deltas:
                    yield delta
        except REFUSALS as error:
            yield Refusal(error)

    async def token_scores(self, prompts: Sequence[Prompt], top: int) -> list[TokenScores] | Refusal:
        try:
            return await self._service.token_scores(prompts, top)
        except REFUSALS as error:
            return Refusal(error)

    async def nll(self, rows: Sequence[NllRow], adapter: str) -> ResponseLoss | Refusal:
        try:
            return await self._service.nll(rows, adapter)
        except REFUSALS as error:
            return Refusal(error)


@serve.ingress()
class Ingress:
    """Speaks HTTP and hands texts on."""

    def __init__(
        self, engine: DeploymentHandle[Any], endpoint: Endpoint, rules: Rules, evaluations: DeploymentHandle[Any] | None = None
    ) -> None:
        self._engine, self._endpoint, self._rules, self._evaluations = engine, endpoint, rules, evaluations

    def __serve_build_asgi_app__(self) -> FastAPI:
        endpoint = self._endpoint
        front = Front(
            model=endpoint.model.name,
            adapters=StoredNames(endpoint.store()),
            scenario=endpoint.scenario,
            run_dir=endpoint.run_dir,
        )
        backend = HandleBackend(self._engine, timeout_s=endpoint.serve.request_timeout_s)
        evaluations = HandleEvaluations(self._evaluations) if self._evaluations else None
        app = make_app(backend, front, evaluations=evaluations, rules=self._rules)
        app.add_middleware(RequestMetrics)
        return app


def build(args: dict[str, Any]) -> serve.Application:
    """The application that `serve run` starts; see `settings.EndpointArguments` for what `args` may hold.

    Raises:
        ServeError: nothing to serve, or to be served to other machines without a key.
        ConfigError: an argument that breaks a rule.
    """
    rules = rules_from_environment()
    if host := _listening_host():
        check_host(host, rules)
    return application(resolve(args), rules)


def application(endpoint: Endpoint, rules: Rules = NO_KEY, *, evaluations: bool = True) -> serve.Application:
    """Ingress and replicas of one endpoint.

    Args:
        rules: who may ask, and how much.
        evaluations: False leaves `/v1/evaluations` out, and the process that it needs.
    """
    settings = endpoint.serve
    resources = {"num_cpus": settings.cpus_per_replica, "num_gpus": settings.gpus_per_replica}
    draining: dict[str, Any] = {
        "graceful_shutdown_timeout_s": settings.request_timeout_s,
        "graceful_shutdown_wait_loop_s": DRAIN_LOOP_S,
    }
    engine: Any = serve.deployment(
        EngineReplica,
        name="engine",
        ray_actor_options={**resources, **_finds_this_package()},
        max_ongoing_requests=QUEUED_BATCHES * settings.max_batch_size,
        max_queued_requests=MAX_QUEUED_QUESTIONS,
        **_replicas(settings.replicas),
        **draining,
    )
    ingress: Any = serve.deployment(
        Ingress,
        name="ingress",
        ray_actor_options={"num_cpus": 0, **_finds_this_package()},
        max_ongoing_requests=MAX_REQUESTS,
        **draining,
    )
    bound_engine = engine.bind(endpoint)
    evaluator = _evaluator().bind(bound_engine, endpoint) if evaluations and endpoint.run_dir else None
    bound: serve.Application = ingress.bind(bound_engine, endpoint, rules, evaluator)
    return bound


def _evaluator() -> Any:
    """One replica that needs no place of its own: it waits for the engine, and scores now and then."""
    return serve.deployment(
        EvaluationReplica,
        name="evaluations",
        num_replicas=1,
        ray_actor_options={"num_cpus": 0, **_finds_this_package()},
        max_ongoing_requests=MAX_REQUESTS,
    )


def _replicas(replicas: int | Autoscaling) -> dict[str, Any]:
    if isinstance(replicas, int):
        return {"num_replicas": replicas}
    scaling = {
        "min_replicas": replicas.min,
        "max_replicas": replicas.max,
        "target_ongoing_requests": replicas.target_ongoing_requests,
    }
    return {"autoscaling_config": scaling}


def _end_this_process() -> None:
    """What the replica had is asked of another one at once; Serve by itself would find out half a minute later."""
    logging.getLogger(__name__).error("the engine's processes are gone; this replica ends, and Serve starts another")
    os._exit(1)


def _log_with_serve() -> None:
    """What we have to say goes where Serve's replicas say it; it sets up nothing for other loggers."""
    for name in ("mixwright", "serve"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.parent = logging.getLogger("ray.serve")


def _finds_this_package() -> dict[str, Any]:
    """Replicas belong to Serve's controller and do not inherit the driver's sys.path, on which this folder stands."""
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH")) if part)
    return {"runtime_env": {"env_vars": {"PYTHONPATH": path}}}


def start(config: ServeConfig, run_dir: Path, model: ModelConfig, scenario: Scenario, *, precision: Precision = "auto") -> str:
    """Starts the endpoint of a run in the Ray cluster of this process and returns its address once it answers.

    It is the endpoint of a sweep's last evaluation, which asks for itself: `/v1/evaluations` is left out.

    Raises:
        ServeError: the port is taken, other machines can reach it and no key is set, the run has no complete adapter, or the
            endpoint does not come up.
    """
    endpoint = of_run(config, run_dir, model, scenario, precision)
    rules = rules_from_environment()
    check_host(config.host, rules)
    check_port(config)
    serve.start(http_options={"host": config.host, "port": config.port})
    try:
        serve.run(application(endpoint, rules, evaluations=False), name=APP_NAME, route_prefix="/", logging_config=QUIET)
    except RuntimeError as error:
        cause = _cause(error)
        stop()
        raise ServeError(f"the endpoint did not start: {cause}") from error
    url = f"http://{config.host}:{config.port}"
    with EndpointClient(url, timeout_s=ANSWER_TIMEOUT_S) as client:
        client.health()
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


def _listening_host() -> str | None:
    """The address that Serve's proxies listen on; None where Serve does not run yet.

    Serve tells an application nothing of it, and has no public call that does. Without this look the first refusal would come
    with the first request; see `safety.Safety`.
    """
    from ray.serve.context import _get_global_client

    client = _get_global_client(raise_if_no_controller_running=False) if ray.is_initialized() else None
    return str(client.http_config.host) if client else None


def _cause(error: RuntimeError) -> str:
    """The last error line that a replica reported, else the first line of Serve's own report."""
    application = serve.status().applications.get(APP_NAME)
    deployments = application.deployments.values() if application else ()
    reports = [deployment.message for deployment in deployments] + [str(error)]
    lines = [line.strip() for report in reports for line in report.splitlines()]
    named = [line for line in lines if re.match(r"([A-Za-z_]\w*\.)*\w+Error: ", line)]
    return named[-1] if named else str(error).splitlines()[0]
