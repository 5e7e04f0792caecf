"""What does the endpoint do under load, and while replicas are killed?

    python benchmarks/serve_load.py [--quick] [--json]

The real application of `serve run`: proxy, ingress and two replicas on Ray Serve, over the tiny random model, and in a full run
over the embedded one too. Each of four adapters is made so that it answers every text in words of its own. What it answers is
found out beforehand, by transformers and one row at a time, and no two (adapter, text) have the same answer. Every answer is held
against it.

Under fire: 64 clients ask 10,000 times between them, adapters and texts in turn, while `kill -9` ends a replica after a third and
after two thirds of the requests. Clients do what an answer tells them: after 429 or 503 with Retry-After they ask again.

lost                   Requests without their right answer in the end: an error without Retry-After, a cut connection, words that
                       nobody's answer has.
mixed_up               Requests that got the answer of another adapter or of another text.
errors_retryable       Answers 429 and 503 with Retry-After; each of these was asked again.
p50_ms, p95_ms, p99_ms From a request's first sending to its right answer, retries and their waits included.
requests_per_second    Over the whole of it, the kills and the loading of new replicas included.
memory_growth_mib      Of the process that grew most: unique set size at the end less that at the start. memory_growth_mib_NAME has
                       each: proxy and ingress from a tenth of the requests under fire on, the replicas over the rows without
                       kills, in which they answered `requests_without_kills`.

Rows are without kills, for 1, 4, 16 and 64 clients: `p50`, `p95`, `p99` of a request, and `requests`, the seconds for all of them;
how many these were stands where the round does. Client and endpoint share the machine's processors. Figures of the embedded model
begin with `embedded`; it gets fewer requests. `--quick` has 600 requests on the tiny model.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

import httpx
import psutil
from common import Measurement, Outcome, arguments, in_own_process, load, publish

from mixwright.config import LoraConfig, ModelConfig, ServeConfig
from mixwright.errors import run_job
from mixwright.scenarios import Scenario, load_scenario
from mixwright.testing import make_tiny_model

TASK = "clarity"
ADAPTERS = ("north", "east", "south", "west")
NEW_TOKENS = 16
CLIENTS = (1, 4, 16, 64)
KILLS = 2
REPLICAS = 2
PATIENCE_S = 240.0
"""How long a client asks again; a replica of the embedded model may take a minute to come back on a busy machine."""
LATE_S = 120.0
"""A connection that says nothing for so long counts as cut."""
PROXY, INGRESS, REPLICA = "ProxyActor", "ServeReplica:mixwright:ingress", "ServeReplica:mixwright:engine"


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is asked of one model."""

    prefix: str
    texts: int
    requests: int
    """Under fire."""
    per_client: int
    """Of the rows: requests for each client, with at least four clients' worth."""


TINY = Size(prefix="", texts=40, requests=10_000, per_client=40)
QUICK = Size(prefix="", texts=12, requests=600, per_client=4)
EMBEDDED = Size(prefix="embedded ", texts=12, requests=1_000, per_client=4)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A question whose answer is known."""

    adapter: str
    text: str
    answer: str


@dataclass
class Tally:
    """What came of a number of requests."""

    seconds: list[float] = field(default_factory=list)
    """Of each request that was answered rightly."""
    wall_s: float = 0.0
    lost: list[str] = field(default_factory=list)
    """What each of them got instead."""
    mixed_up: int = 0
    retryable: int = 0
    pids_killed: list[int] = field(default_factory=list)
    by_adapter: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ADAPTERS, 0))

    @property
    def ended(self) -> int:
        return len(self.seconds) + len(self.lost) + self.mixed_up

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


# ---- adapters with answers of their own


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run folder to serve, and what its adapters answer."""

    model: ModelConfig
    run_dir: Path
    cases: tuple[Case, ...]


def prepared(model: ModelConfig | None, folder: Path, texts: int) -> Prepared:
    """Adapters with their known answers.

    Args:
        model: the base; None is a tiny random one.
        texts: for each adapter.
    """
    base = model or ModelConfig(name=str(make_tiny_model(folder / "model")))
    (folder / "adapters").mkdir(parents=True, exist_ok=True)
    save_adapters(base, folder / "adapters")
    return Prepared(model=base, run_dir=folder, cases=tuple(known_cases(base, folder / "adapters", texts)))


def save_adapters(model: ModelConfig, folder: Path) -> None:
    """Random adapters, far enough from the base and from one another to answer in words of their own."""
    import torch

    from mixwright.models import COMPLETE, load_base, with_adapter

    for seed, name in enumerate(ADAPTERS):
        adapted = with_adapter(load_base(model, torch.float32).model, LoraConfig(rank=4, alpha=64), name="default", seed=seed)
        torch.manual_seed(seed)
        for key, parameter in adapted.named_parameters():
            if "lora_B" in key:
                parameter.data.normal_(std=0.2)
        adapted.save_pretrained(folder / name)
        (folder / name / COMPLETE).touch()


def known_cases(model: ModelConfig, folder: Path, texts: int) -> list[Case]:
    """Cases with what transformers answers, a row at a time; texts on which two answers are alike are left out."""
    import torch

    from mixwright.data.embedded import embedded_rows
    from mixwright.generate.engine import Request
    from mixwright.generate.loading import adapter_folders, load_engine
    from mixwright.models import load_base
    from mixwright.prompts import prompt_ids

    engine = load_engine(load_base(model, torch.float32), adapter_folders(folder), batch_size=1)
    instruction = scenario().task(TASK).instructions.train[0]
    found: list[Case] = []
    for row in embedded_rows(TASK, "dev", 4 * texts, seed=0, source="load"):
        ids = prompt_ids(engine.tokenizer, instruction, row.text)
        requests = [Request(prompt_ids=ids, adapter=name, max_new_tokens=NEW_TOKENS) for name in ADAPTERS]
        answers = engine.generate(requests)
        if len({*answers, *(case.answer for case in found)}) == len(answers) + len(found):
            found += [Case(adapter=name, text=row.text, answer=text) for name, text in zip(ADAPTERS, answers, strict=True)]
        if len(found) == texts * len(ADAPTERS):
            return found
    raise AssertionError(f"only {len(found) // len(ADAPTERS)} of {texts} texts have different answers by all adapters")


def scenario() -> Scenario:
    return load_scenario("writing")


# ---- the endpoint


@contextmanager
def endpoint(ready: Prepared) -> Iterator[str]:
    """The address of the application, on a Ray cluster of its own."""
    import ray
    from serve.app import start, stop

    os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # a cluster on loopback, for this process alone
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    ray.init(address="local", num_cpus=REPLICAS, include_dashboard=True, log_to_driver=False, logging_level="ERROR")
    try:
        yield start(ServeConfig(port=free_port(), replicas=REPLICAS), ready.run_dir, ready.model, scenario(), precision="fp32")
    finally:
        stop()
        ray.shutdown()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def pids(kind: str) -> list[int]:
    """Processes of the application's live actors of a kind, the oldest first, by Ray's state API."""
    import ray
    from ray.util.state import list_actors

    ours = ray.get_runtime_context().gcs_address  # there may be other clusters on the machine
    alive = list_actors(ours, filters=[("state", "=", "ALIVE"), ("class_name", "=", kind)], limit=1000)
    return sorted((int(actor.pid) for actor in alive), key=lambda pid: psutil.Process(pid).create_time())


def kill_replica() -> int:
    """`kill -9` of the replica that has answered longest."""
    oldest = pids(REPLICA)[0]
    os.kill(oldest, signal.SIGKILL)
    return oldest


def memory_mib(pid: int) -> float:
    return float(psutil.Process(pid).memory_full_info().uss) / 2**20


# ---- clients


@asynccontextmanager
async def connections(url: str, clients: int) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=LATE_S) as opened:
        yield opened


async def ask(http: httpx.AsyncClient, case: Case, known: Mapping[str, Case], tally: Tally) -> None:
    """One request until its answer, or what it got instead, is in the tally."""
    body = {"task": TASK, "texts": [case.text], "adapter": case.adapter, "max_new_tokens": NEW_TOKENS}
    started = time.perf_counter()
    while True:
        try:
            answer = await http.post("/v1/rewrite", json=body)
        except httpx.HTTPError as error:
            tally.lost.append(f"{type(error).__name__}: {error}")
            return
        waited = time.perf_counter() - started
        if answer.status_code not in (429, 503) or "Retry-After" not in answer.headers or waited > PATIENCE_S:
            break
        tally.retryable += 1
        await asyncio.sleep(float(answer.headers["Retry-After"]))
    output = answer.json()["outputs"][0] if answer.status_code == 200 else None
    if output == case.answer:
        tally.seconds.append(waited)
        tally.by_adapter[case.adapter] += 1
    elif output in known:
        tally.mixed_up += 1
    else:
        tally.lost.append(f"{case.adapter}: {answer.status_code} {answer.text[:300]}, not {case.answer!r}")


async def asked(
    url: str, cases: Sequence[Case], requests: int, clients: int, *, kills: int = 0, watched: Callable[[], None] = lambda: None
) -> Tally:
    """So many requests, cases in turn, over so many clients at once.

    Args:
        kills: replicas to kill, evenly over the requests.
        watched: called when a tenth of the requests has ended.
    """
    tally, known = Tally(), {case.answer: case for case in cases}
    todo = islice(cycle(cases), requests)

    async def client(http: httpx.AsyncClient) -> None:
        for case in todo:
            await ask(http, case, known, tally)

    async def killer() -> None:
        for number in range(kills):
            await ended(requests * (number + 1) // (kills + 1))
            tally.pids_killed.append(await asyncio.to_thread(kill_replica))

    async def watcher() -> None:
        await ended(requests // 10)
        await asyncio.to_thread(watched)

    async def ended(count: int) -> None:
        while tally.ended < count:
            await asyncio.sleep(0.02)

    started = time.perf_counter()
    async with connections(url, clients) as http, asyncio.TaskGroup() as group:
        for work in (killer(), watcher(), *(client(http) for _ in range(clients))):
            group.create_task(work)
    tally.wall_s = time.perf_counter() - started
    return tally


# ---- the runs


def under_fire(
    url: str, cases: Sequence[Case], requests: int, *, clients: int = 64, watched: Callable[[], None] = lambda: None
) -> Tally:
    """So many requests while replicas are killed."""
    return asyncio.run(asked(url, cases, requests, clients, kills=KILLS, watched=watched))


@dataclass
class Memory:
    """Memory of processes at two times."""

    before: dict[int, float] = field(default_factory=dict)

    def look(self, kinds: Sequence[str]) -> None:
        self.before |= {pid: memory_mib(pid) for kind in kinds for pid in pids(kind)}

    def growth(self, kind: str) -> float:
        """Of the process of a kind that grew most; those that came later or went do not count."""
        return max(memory_mib(pid) - self.before[pid] for pid in pids(kind) if pid in self.before)


def measured(size: Size, ready: Prepared) -> Outcome:
    """Rows without kills, then the figures under fire."""
    with endpoint(ready) as url:
        asyncio.run(asked(url, ready.cases, max(len(ready.cases), 64), 64))  # replicas load adapters when they are first asked
        rows, replica = without_kills(size, url, ready.cases)
        memory = Memory()
        tally = under_fire(url, ready.cases, size.requests, watched=lambda: memory.look((PROXY, INGRESS)))
        growth = {"replica": replica, "proxy": memory.growth(PROXY), "ingress": memory.growth(INGRESS)}
    for words in tally.lost[:10]:
        sys.stderr.write(f"lost: {words}\n")
    figures: dict[str, float] = {
        "lost": len(tally.lost),
        "mixed_up": tally.mixed_up,
        "p50_ms": tally.percentile_ms(0.5),
        "p95_ms": tally.percentile_ms(0.95),
        "p99_ms": tally.percentile_ms(0.99),
        "requests_per_second": tally.ended / tally.wall_s,
        "errors_retryable": tally.retryable,
        "requests": tally.ended,
        "replicas_killed": len(tally.pids_killed),
        "memory_growth_mib": max(growth.values()),
        **{f"memory_growth_mib_{name}": value for name, value in growth.items()},
        "requests_without_kills": sum(row.round for row in rows if row.what == "requests"),
    }
    return Outcome(figures={f"{size.prefix}{name}": value for name, value in figures.items()}, rows=rows)


def without_kills(size: Size, url: str, cases: Sequence[Case]) -> tuple[list[Measurement], float]:
    """Latency and throughput by number of clients, and what a replica grew by meanwhile."""
    rows: list[Measurement] = []
    memory = Memory()
    memory.look((REPLICA,))
    for clients in CLIENTS:
        requests = size.per_client * max(4, clients)
        tally = asyncio.run(asked(url, cases, requests, clients))
        if tally.lost or tally.mixed_up:
            raise AssertionError(f"{clients} clients, no kill: {tally.mixed_up} mixed up, {len(tally.lost)} lost: {tally.lost[:3]}")
        side = f"{size.prefix}{clients} clients"
        found = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
        rows += [
            Measurement(what=name, side=side, round=0, seconds=tally.percentile_ms(share) / 1000) for name, share in found.items()
        ]
        rows.append(Measurement(what="requests", side=side, round=requests, seconds=tally.wall_s))
    return rows, memory.growth(REPLICA)


def main() -> int:
    options = arguments("The endpoint under load, and while replicas are killed.", rounds=1)
    before = load()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    logging.getLogger("httpx").setLevel(logging.WARNING)
    found: list[Outcome] = []
    with redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
        for size, model in ((QUICK, None),) if options.quick else ((TINY, None), (EMBEDDED, ModelConfig())):
            found.append(measured(size, in_own_process(prepared, model, Path(folder) / f"run{len(found)}", size.texts)))
    figures = {name: figure for outcome in found for name, figure in outcome.figures.items()}
    rows = [row for outcome in found for row in outcome.rows]
    publish(Outcome(figures=figures, rows=rows), before, as_json=options.json)
    return 0


if __name__ == "__main__":
    run_job(main)
