"""Asks a served endpoint over HTTP, as any user would: the last evaluation of a sweep goes through here.

What comes in: the address of an endpoint and evaluation rows. What goes out: the same `Prediction` records that a local
engine gives. Connection faults and busy answers are tried again, since asking twice changes nothing: even a sampled answer hangs
on its question alone. What the endpoint refuses is a `ServeError` with its own words.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from types import TracebackType
from typing import Any, Self

import httpx

from mixwright.decoding import GREEDY, Decoding
from mixwright.errors import ServeError
from mixwright.evaluate.retention import ResponseLoss
from mixwright.evaluate.runner import EvaluationRow, make_prediction
from mixwright.records import BASE, Example, Prediction

logger = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)  # its line a request would drown the progress of a job

TEXTS_PER_REQUEST = 8
CONCURRENT_REQUESTS = 6
"""With eight texts each, three of a replica's default batches wait at any time, so that it never runs dry."""
ROWS_PER_NLL_REQUEST = 32
KEY_VARIABLE = "MIXWRIGHT_API_KEY"
"""Environment variable with an endpoint's key: the endpoint asks for it, and clients send it."""
LONGEST_NAMED_WAIT_S = 60.0
"""Of what a `Retry-After` may ask for between two tries."""


class EndpointClient:
    """One endpoint; a context manager that closes its connections."""

    def __init__(
        self,
        url: str,
        *,
        tries: int = 6,
        first_wait_s: float = 0.5,
        timeout_s: float = 600.0,
        key: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Asks nothing yet.

        Args:
            tries: how often a request is sent before its fault is given up on.
            first_wait_s: between the first two tries; doubled after each.
            timeout_s: for an answer; long, since a batch of long texts on a CPU takes minutes.
            key: the endpoint's; None: that of the environment variable MIXWRIGHT_API_KEY, if it is set.
            transport: another way to the endpoint, for tests.
        """
        self.url = url.rstrip("/")
        self._tries, self._first_wait_s = tries, first_wait_s
        timeout = httpx.Timeout(timeout_s, connect=10.0)
        key = os.environ.get(KEY_VARIABLE, "").strip() if key is None else key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(timeout=timeout, transport=transport, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.close()

    def health(self) -> dict[str, Any]:
        """What the endpoint serves: status, model, scenario, run_dir.

        Raises:
            ServeError: it does not answer, or is no endpoint of ours.
        """
        return self._ask("GET", "/healthz", ("status", "run_dir"))

    def adapters(self) -> tuple[str, ...]:
        """Names that can be asked for, `base` first.

        Raises:
            ServeError: as `health`.
        """
        cards = self._ask("GET", "/v1/models", ("data",))["data"]
        return tuple(str(card["id"]).removeprefix(f"{BASE}:") for card in cards)

    def rewrite(
        self,
        task: str,
        texts: Sequence[str],
        *,
        adapter: str,
        instruction: str,
        max_new_tokens: int,
        decoding: Decoding = GREEDY,
    ) -> list[str]:
        """Outputs in the order of the texts.

        Raises:
            ServeError: no answer, or a refusal (an unknown task or adapter, a text too long).
        """
        body = {
            "task": task,
            "texts": list(texts),
            "adapter": adapter,
            "instruction": instruction,
            "max_new_tokens": max_new_tokens,
            "decoding": decoding.changed,
        }
        outputs = self._ask("POST", "/v1/rewrite", ("outputs",), body)["outputs"]
        if len(outputs) != len(texts):
            raise ServeError(f"{self.url}: answered {len(texts)} texts with {len(outputs)} outputs; is it a Mixwright endpoint?")
        return [str(output) for output in outputs]

    def nll(self, rows: Sequence[Example], *, adapter: str) -> ResponseLoss:
        """Mean NLL of the rows' first references, nats a token.

        Raises:
            ServeError: as `rewrite`.
        """
        losses = []
        for start in range(0, len(rows), ROWS_PER_NLL_REQUEST):
            chosen = rows[start : start + ROWS_PER_NLL_REQUEST]
            items = [{"instruction": row.instruction, "text": row.text, "response": row.references[0]} for row in chosen]
            answer = self._ask("POST", "/v1/nll", ("nll", "tokens"), {"rows": items, "adapter": adapter})
            losses.append(ResponseLoss(nll=float(answer["nll"]), tokens=int(answer["tokens"])))
        tokens = sum(loss.tokens for loss in losses)
        return ResponseLoss(nll=sum(loss.nll * loss.tokens for loss in losses) / tokens, tokens=tokens)

    def _ask(self, method: str, path: str, keys: Sequence[str], body: dict[str, Any] | None = None) -> dict[str, Any]:
        response = self._send(method, path, body)
        try:
            answer = response.json()
        except json.JSONDecodeError:
            answer = None
        if response.is_success and isinstance(answer, dict) and set(keys) <= set(answer):
            return answer
        if not response.is_success and isinstance(answer, dict) and isinstance(answer.get("error"), dict):
            raise ServeError(f"{self.url}{path}: {answer['error'].get('message')}")
        raise ServeError(f"{self.url}{path}: status {response.status_code}, not the answer of a Mixwright endpoint; check --url")

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        """The first answer that is no passing fault; after the last try, whatever came."""
        wait_s = self._first_wait_s
        for left in range(self._tries - 1, -1, -1):
            try:
                response = self._http.request(method, self.url + path, json=body)
                fault = f"status {response.status_code}"
                if not _may_pass(response) or not left:
                    return response
                named_s = _named_wait_s(response)
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                raise ServeError(
                    f"{self.url}: no address of an endpoint ({error}); give one such as http://127.0.0.1:8000"
                ) from None
            except httpx.TransportError as error:
                fault = str(error) or type(error).__name__
                if not left:
                    way_out = "start it with `serve run serve/config.yaml`, or check --url"
                    raise ServeError(f"{self.url}: no answer after {self._tries} tries ({fault}); {way_out}") from error
                named_s = 0.0
            pause_s = max(wait_s, named_s)
            logger.info("%s%s: %s; asking again in %.1f s", self.url, path, fault, pause_s)
            time.sleep(pause_s)
            wait_s *= 2
        raise AssertionError("the last try returns or raises")


def _may_pass(response: httpx.Response) -> bool:
    """A full queue, faults of the endpoint, and the plain 404 of a Ray Serve proxy whose application is still starting."""
    starting = response.status_code == httpx.codes.NOT_FOUND and "json" not in response.headers.get("content-type", "")
    return response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS or starting


def _named_wait_s(response: httpx.Response) -> float:
    """The wait that `Retry-After` names; 0 where it names none, or a date."""
    named = response.headers.get("retry-after", "")
    return min(float(named), LONGEST_NAMED_WAIT_S) if named.isdecimal() else 0.0


def evaluate_over_http(
    client: EndpointClient,
    rows: Sequence[EvaluationRow],
    system: str,
    *,
    max_new_tokens: int,
    decoding: Decoding = GREEDY,
    concurrency: int = CONCURRENT_REQUESTS,
    on_progress: Callable[[int], None] | None = None,
) -> list[Prediction]:
    """The endpoint's answers, in the order of `rows`; `system` is `base` or an adapter's name.

    Args:
        concurrency: requests under way at once.
        on_progress: told how many more rows are answered, as answers come in, always from the calling thread.

    Raises:
        ServeError: the endpoint does not answer or refuses; requests that have not been sent yet are dropped.
    """
    outputs: dict[int, str] = {}
    with ThreadPoolExecutor(concurrency) as pool:
        asked = {
            pool.submit(_rewritten, client, [rows[index] for index in indices], system, max_new_tokens, decoding): indices
            for indices in _requests(rows)
        }
        try:
            for done in as_completed(asked):
                outputs.update(zip(asked[done], done.result(), strict=True))
                if on_progress:
                    on_progress(len(asked[done]))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    decoded = decoding.record(max_new_tokens)
    return [make_prediction(row, system, outputs[index], decoded) for index, row in enumerate(rows)]


def _rewritten(
    client: EndpointClient, rows: Sequence[EvaluationRow], system: str, max_new_tokens: int, decoding: Decoding
) -> list[str]:
    return client.rewrite(
        rows[0].task,
        [row.example.text for row in rows],
        adapter=system,
        instruction=rows[0].instruction,
        max_new_tokens=max_new_tokens,
        decoding=decoding,
    )


def _requests(rows: Sequence[EvaluationRow]) -> Iterator[list[int]]:
    """Row indices a request: one task and wording each, texts of like length together, so that little is padded."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault((row.task, row.instruction), []).append(index)
    for indices in groups.values():
        indices.sort(key=lambda index: len(rows[index].example.text))
        for start in range(0, len(indices), TEXTS_PER_REQUEST):
            yield indices[start : start + TEXTS_PER_REQUEST]
