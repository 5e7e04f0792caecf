"""The playground: one page that asks the endpoint which it came from, and what that page needs to know.

What comes in: requests for `/`, the files of `web/`, and `GET /v1/scenario`. What goes out: the files as they are, each with a
digest as its ETag, and the scenario's tasks with texts to try them on. The page itself holds nothing secret and needs no key; what
it asks goes through the same routes and limits as any client's calls.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from mixwright.config import load_config
from mixwright.data.prepare import prepare
from mixwright.errors import MixwrightError
from mixwright.records import BASE, MetricName
from mixwright.scenarios import Scenario
from mixwright.store.remote import run_folder

logger = logging.getLogger(__name__)

WEB = Path(__file__).parent / "web"
PAGE = "index.html"
CONTENT_TYPES = {
    PAGE: "text/html; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "api.js": "text/javascript; charset=utf-8",
    "diff.js": "text/javascript; charset=utf-8",
    "evaluations.js": "text/javascript; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "elements.js": "text/javascript; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""All that is handed out of `web/`; a path that is not here is not looked up on the disk."""
SAMPLES = 6
"""Texts a task."""


class TaskCard(BaseModel):
    """A task of the scenario, as the page offers it."""

    name: str
    seen: bool
    """False: held out of training."""
    metric: MetricName
    instruction: str
    """What is asked where a request has no instruction of its own."""
    samples: list[str]
    """Texts of the run's dev rows; none where no run is served, its data cannot be read here, or they were not asked for."""


class ScenarioCard(BaseModel):
    """GET /v1/scenario."""

    name: str
    model: str
    tasks: list[TaskCard]
    adapters: list[str]
    """`base` first."""


class Served(Protocol):
    """What the page says of its endpoint; see `front.Front`."""

    @property
    def model(self) -> str: ...

    @property
    def adapters(self) -> Sequence[str]: ...

    @property
    def scenario(self) -> Scenario: ...

    @property
    def run_dir(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class WebFile:
    """A file as it goes out."""

    content: bytes
    content_type: str
    etag: str


class Samples:
    """The run's dev texts by task, read once, when they are first asked for."""

    def __init__(self, read: Callable[[], dict[str, list[str]]]) -> None:
        self._read = read
        self._found: dict[str, list[str]] | None = None
        self._alone = asyncio.Lock()

    async def by_task(self) -> dict[str, list[str]]:
        async with self._alone:
            if self._found is None:
                self._found = await asyncio.to_thread(self._read)
            return self._found


def add_playground_routes(app: FastAPI, served: Served) -> None:
    """Adds the page, its files and `GET /v1/scenario` to the application."""
    files = {name: _web_file(name) for name in CONTENT_TYPES}
    found = Samples(lambda: dev_texts(served.run_dir, served.scenario))

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page(request: Request) -> Response:
        return _answer(files[PAGE], request)

    for name in files:
        _add_file(app, f"/web/{name}", files[name])

    @app.get("/v1/scenario")
    async def scenario(samples: bool = True) -> ScenarioCard:
        """The tasks and adapters that can be asked for. The first call reads samples for some seconds; `samples=false` does not."""
        texts = await found.by_task() if samples else {}
        return ScenarioCard(
            name=served.scenario.name,
            model=served.model,
            tasks=[
                TaskCard(
                    name=task.name,
                    seen=task.seen,
                    metric=task.metric,
                    instruction=task.instructions.train[0],
                    samples=texts.get(task.name, []),
                )
                for task in served.scenario.tasks
            ],
            adapters=[BASE, *served.adapters],
        )


def dev_texts(run_dir: str, scenario: Scenario) -> dict[str, list[str]]:
    """The first of the run's dev rows, by task, as its search saw them; empty where there is no run, or its data is elsewhere."""
    if not run_dir:
        return {}
    try:
        config = load_config(run_folder(run_dir) / "config.yaml")
        dev = prepare(config.data, scenario, seed=config.search.seed).dev
    except MixwrightError as error:
        logger.warning("the playground has no samples: %s", error)
        return {}
    return {task.name: _different([row.text for row in dev[task.name]]) for task in scenario.tasks}


def _different(texts: Sequence[str]) -> list[str]:
    """The first texts that are not blank, none of them twice."""
    return list(dict.fromkeys(text for text in texts if text.strip()))[:SAMPLES]


def _add_file(app: FastAPI, path: str, file: WebFile) -> None:
    @app.api_route(path, methods=["GET", "HEAD"], include_in_schema=False)
    async def web_file(request: Request) -> Response:
        return _answer(file, request)


def _web_file(name: str) -> WebFile:
    content = (WEB / name).read_bytes()
    return WebFile(
        content=content, content_type=CONTENT_TYPES[name], etag=f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
    )


def _answer(file: WebFile, request: Request) -> Response:
    """The file, or 304 where the browser has it. Browsers ask each time, so that a new release is seen at once."""
    headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]
    if file.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.content_type, headers=headers)
