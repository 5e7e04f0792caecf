"""Any OpenAI-compatible endpoint as one more system: an off-the-shelf model on the very rows that ours are asked.

What comes in: an address with a model and a key, and evaluation rows. What goes out: `Prediction`s, and what they cost. The
official `openai` client asks, and tries again after connection faults, time-outs, 408, 409, 429 and 5xx, with back-off or after
the wait that `Retry-After` names. Added here: a pace, answers that are read strictly (a body that is cut or no chat completion is
asked for again, and then an error), and an answer file, so that nothing is asked or paid for twice.

An answer that was cut at the token limit, refused, filtered or empty is scored as it stands, as it is for our own models, but
never in silence: each kind is counted in `usage`.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import pydantic

from mixwright.errors import ConfigError, ServeError, did_you_mean
from mixwright.evaluate.answer_file import AnswerFile, KeptReply, Reply, answer_key
from mixwright.evaluate.prices import Price
from mixwright.evaluate.runner import EvaluationRow, make_prediction
from mixwright.evaluate.shots import Shot, chat_messages
from mixwright.records import BASE, COPY, HUMAN, Prediction

logger = logging.getLogger(__name__)
logging.getLogger("httpx2").setLevel(logging.WARNING)  # its line a request would drown the progress of a job

CONCURRENT_REQUESTS = 8
UNREADABLE_TRIES = 3
"""How often an answer of status 200 that is no chat completion is asked for."""
SHORTEST_SECRET = 8
"""Characters; a shorter key is a placeholder for an endpoint that wants none, and may well be a word of a message."""
TOLD_APART = {"length": "truncated", "refusal": "refused", "content_filter": "filtered"}
"""Why an answer ended -> the key under which `usage` counts it."""
_SET_HERE = ("model", "messages", "stream", "n")

Messages = Sequence[Mapping[str, str]]


def key_from_environment(variable: str) -> str:
    """The key that an environment variable holds; it goes into a header and nowhere else.

    Raises:
        ConfigError: the variable is not set, or holds what no header can; its value is not shown.
    """
    key = os.environ.get(variable, "").strip()
    if not key:
        way_out = "set it to the endpoint's key (any word where it needs none), or name another with --openai-key-env"
        raise ConfigError(f"the environment variable {variable} is not set; {way_out}")
    if not re.fullmatch(r"[!-~]+", key):
        raise ConfigError(f"the environment variable {variable} must hold plain ASCII without spaces; set it to the key alone")
    return key


def check_address(url: str) -> str:
    """The address without a slash at its end.

    Raises:
        ConfigError: no http address, or one with a user, a password or a query, which would land in files.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError("--openai-url: is no http address; give one such as http://127.0.0.1:8000/v1")
    if parts.username or parts.password or parts.query:
        raise ConfigError("--openai-url: must hold no user, password or query; put the key into the environment variable")
    return url.rstrip("/")


class Pace:
    """Lets callers through at an even pace, whatever thread they are on."""

    def __init__(
        self, per_minute: float, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Args:
        per_minute: callers let through in any minute.
        clock: seconds; another one for tests, as `sleep`.
        """
        if per_minute <= 0:
            raise ConfigError(f"--requests-per-minute: must be above 0, got {per_minute:g}")
        self._gap_s, self._clock, self._sleep = 60.0 / per_minute, clock, sleep
        self._next, self._lock = clock(), threading.Lock()

    def wait(self) -> None:
        """Returns when it is the caller's turn."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + self._gap_s
        self._sleep(turn - now)


class _Message(pydantic.BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(pydantic.BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(pydantic.BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(pydantic.BaseModel):
    """What we need of a chat completion; the rest of it may look as it likes."""

    model: str = ""
    choices: list[_Choice] = pydantic.Field(min_length=1)
    usage: _Usage | None = None


class _UnreadableError(Exception):
    """Status 200 and no answer in it."""


class ChatEndpoint:
    """One model behind one address; a context manager that closes its connections."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key: str,
        options: Mapping[str, Any],
        requests_per_minute: float | None = None,
        retries: int = 8,
        timeout_s: float = 300.0,
    ) -> None:
        """Asks nothing yet.

        Args:
            url: with its version, as in http://127.0.0.1:8000/v1.
            key: is sent as a header; errors never show it.
            options: of the request's body beside model and messages: max_tokens, temperature, ...
            retries: after the first try, for faults that may pass.
            timeout_s: for one try.

        Raises:
            ConfigError: an address, a pace, a time-out or an option that breaks a rule.
        """
        import openai

        if timeout_s <= 0:
            raise ConfigError(f"--openai-timeout: must be above 0 seconds, got {timeout_s:g}")
        if taken := sorted(set(options) & set(_SET_HERE)):
            raise ConfigError(f"--openai-set: {', '.join(taken)} cannot be set, the evaluation itself says it; leave it out")
        self.url, self.model, self.options = check_address(url), model, dict(options)
        self._key = key
        self._pace = None if requests_per_minute is None else Pace(requests_per_minute)
        self._client = openai.OpenAI(
            api_key=key,
            base_url=self.url,
            max_retries=retries,
            timeout=openai.Timeout(timeout_s, connect=10.0),
            http_client=openai.DefaultHttpxClient(event_hooks={"request": [self._before_each_request]}),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def ask(self, messages: Messages) -> Reply:
        """The model's answer to a chat.

        Raises:
            ServeError: no answer, a refusal of the request, or answers that cannot be read; with the endpoint's own words.
        """
        requests, wait_s = 0, 0.5
        for left in range(UNREADABLE_TRIES - 1, -1, -1):
            raw = self._send(messages)
            requests += raw.retries_taken + 1
            try:
                return _read(raw.http_response.content, requests)
            except _UnreadableError as error:
                problem = f"{self.url}: {self.model}: {self._words(error)}"
                if not left:
                    raise ServeError(f"{problem}; asked {requests} times, check --openai-url or try again later") from None
            logger.info("%s; asking again in %.1f s", problem, wait_s)
            time.sleep(wait_s)
            wait_s *= 2
        raise AssertionError("the last try returns or raises")

    def _before_each_request(self, _: Any) -> None:
        """Below the client's retries, so that they keep the pace too."""
        if self._pace:
            self._pace.wait()

    def _send(self, messages: Messages) -> Any:
        import openai

        where = f"{self.url}: {self.model}"
        body: Any = [dict(message) for message in messages]
        try:
            return self._client.chat.completions.with_raw_response.create(model=self.model, messages=body, extra_body=self.options)
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise ServeError(f"{where}: refuses the key ({self._words(error)}); check the key's environment variable") from None
        except openai.NotFoundError as error:
            way_out = "check --openai-model, and that --openai-url ends with its version (/v1)"
            raise ServeError(f"{where}: not found ({self._words(error)}); {way_out}") from None
        except openai.APIStatusError as error:
            way_out = "what was answered is kept, run again to go on" if _may_pass(error) else "options are set with --openai-set"
            raise ServeError(f"{where}: {self._words(error)}; {way_out}") from None
        except openai.APIConnectionError as error:
            fault = self._words(error.__cause__ or error)
            tries = self._client.max_retries + 1
            raise ServeError(f"{where}: no answer after {tries} tries ({fault}); what was answered is kept, run again") from None

    def _words(self, error: BaseException) -> str:
        """What an error says, on one line and not for ever; without the key, which some endpoints echo."""
        said = str(error)
        if len(self._key) >= SHORTEST_SECRET:
            said = said.replace(self._key, "***")
        return " ".join(said.split())[:300]


def _may_pass(error: Any) -> bool:
    return error.status_code in (408, 409, 429) or error.status_code >= 500


def _read(body: bytes, requests: int) -> Reply:
    """A chat completion's first choice."""
    try:
        completion = _Completion.model_validate_json(body)
    except pydantic.ValidationError:
        raise _UnreadableError(
            f"answered {len(body)} bytes that are no whole chat completion: {body.decode(errors='replace')}"
        ) from None
    choice, usage = completion.choices[0], completion.usage or _Usage()
    finish = "refusal" if choice.message.refusal else choice.finish_reason or "stop"
    if choice.message.content is None and finish not in TOLD_APART:
        raise _UnreadableError(f"answered without a text (finish_reason {choice.finish_reason!r})")
    return Reply(
        output=choice.message.content or choice.message.refusal or "",
        finish=finish,
        model=completion.model,
        requests=requests,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
    )


def system_name(model: str, shots: int, taken: Sequence[str] = ()) -> str:
    """The name of a model's row, fit for a file: `gpt-4o`, `gpt-4o-4shot`.

    Raises:
        ConfigError: another system of the table has it.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", model).lstrip(".") + (f"-{shots}shot" if shots else "")
    if name in (BASE, COPY, HUMAN, *taken):
        raise ConfigError(f"--openai-model: the row '{name}' stands in the table already; give another name with --openai-name")
    return name


@dataclass(kw_only=True)
class ChatSystem:
    """A model behind a chat endpoint as a system of the table."""

    name: str
    endpoint: ChatEndpoint
    answers: Path
    """The answer file."""
    shots: Mapping[str, Sequence[Shot]] = field(default_factory=dict)
    """Worked examples by task; empty asks zero-shot."""
    price: Price | None = None
    usage: dict[str, float] = field(default_factory=dict)
    """What the last `predict` cost and how its answers ended; see `_usage`."""

    @property
    def decoding(self) -> dict[str, Any]:
        """The request's options, and the shots of each task where there are any."""
        counts = {task: len(shots) for task, shots in self.shots.items()}
        return {**self.endpoint.options, **({"shots": counts} if any(counts.values()) else {})}

    def predict(
        self,
        rows: Sequence[EvaluationRow],
        *,
        concurrency: int = CONCURRENT_REQUESTS,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[Prediction]:
        """Answers in the order of `rows`: kept ones first, then what is missing is asked; each question once.

        Args:
            on_progress: told how many more rows are answered, always from the calling thread.

        Raises:
            ServeError: as `ChatEndpoint.ask`; what has been answered by then is kept.
        """
        questions = [chat_messages(row.instruction, row.example.text, self.shots.get(row.task, ())) for row in rows]
        keys = [self._key(messages) for messages in questions]
        waiting = Counter(keys)
        with AnswerFile(self.answers) as kept:
            missing = {
                key: (messages, row.example.id)
                for key, messages, row in zip(keys, questions, rows, strict=True)
                if kept.get(key) is None
            }
            if there := len(waiting) - len(missing):
                logger.info(
                    "%s: %d of %d answers are in %s already and are not asked again", self.name, there, len(waiting), self.answers
                )
            report = on_progress or (lambda _: None)
            report(len(rows) - sum(waiting[key] for key in missing))
            self._ask_missing(kept, missing, concurrency, lambda key: report(waiting[key]))
            replies = [kept.get(key) for key in keys]
        found = [reply for reply in replies if reply is not None]
        self.usage = _usage(list(dict(zip(keys, found, strict=True)).values()), found, self.price)
        return [make_prediction(row, self.name, reply.output) for row, reply in zip(rows, found, strict=True)]

    def _key(self, messages: Messages) -> str:
        endpoint = self.endpoint
        return answer_key(url=endpoint.url, model=endpoint.model, messages=messages, options=endpoint.options)

    def _ask_missing(
        self, kept: AnswerFile, missing: Mapping[str, tuple[Messages, str]], concurrency: int, on_answer: Callable[[str], None]
    ) -> None:
        def ask(key: str) -> None:
            messages, example_id = missing[key]
            kept.add(KeptReply(key=key, example_id=example_id, reply=self.endpoint.ask(messages)))

        for key in list(missing)[:1]:
            ask(key)  # alone: a wrong key or model then costs one request
            on_answer(key)
        with ThreadPoolExecutor(concurrency) as pool:
            asked = {pool.submit(ask, key): key for key in list(missing)[1:]}
            try:
                for done in as_completed(asked):
                    done.result()
                    on_answer(asked[done])
            except BaseException:
                pool.shutdown(cancel_futures=True)  # waits for requests under way: their answers are paid for, and kept
                raise


def _usage(asked: Sequence[Reply], by_row: Sequence[Reply], price: Price | None) -> dict[str, float]:
    """What the distinct answers cost: requests, prompt_tokens and completion_tokens (left out where the endpoint did not count),
    usd where a price is known; then how many rows' answers were truncated, refused, filtered or empty, where any were."""
    usage: dict[str, float] = {"requests": sum(reply.requests for reply in asked)}
    prompts = [reply.prompt_tokens for reply in asked if reply.prompt_tokens is not None]
    completions = [reply.completion_tokens for reply in asked if reply.completion_tokens is not None]
    if len(prompts) == len(completions) == len(asked):
        usage |= {"prompt_tokens": sum(prompts), "completion_tokens": sum(completions)}
        if price is not None:
            usage["usd"] = price.usd(sum(prompts), sum(completions))
    ends = Counter(TOLD_APART[reply.finish] for reply in by_row if reply.finish in TOLD_APART)
    ends["empty"] = sum(not reply.output.strip() for reply in by_row)
    return usage | {kind: count for kind, count in sorted(ends.items()) if count}


def usage_lines(name: str, usage: Mapping[str, float], rows: int) -> list[str]:
    """What a system cost, and a line for each kind of answer that is no plain answer."""
    told = [f"{usage['requests']:.0f} requests"]
    if "prompt_tokens" in usage:
        told.append(f"{usage['prompt_tokens']:.0f} prompt and {usage['completion_tokens']:.0f} completion tokens")
    else:
        told.append("tokens unknown, the endpoint did not count them")
    told.append(f"{usage['usd']:.4f} USD" if "usd" in usage else "no price known")
    wordings = {
        "truncated": "cut at the token limit (more with --openai-set max_tokens=N)",
        "refused": "refusals of the model",
        "filtered": "held back by the endpoint's content filter",
        "empty": "empty",
    }
    noted = [f"{name}: {usage[kind]:.0f} of {rows} answers {words}" for kind, words in wordings.items() if kind in usage]
    return [f"{name}: {', '.join(told)}", *noted]


def price_of(prices: Mapping[str, Price], model: str, where: Path) -> Price | None:
    """The model's price, or None with a warning: no cost is better than a guessed one."""
    if model not in prices:
        logger.warning("%s: no price for '%s', so its cost is left out%s", where, model, did_you_mean(model, prices))
    return prices.get(model)
