"""From an endpoint's settings to a replica's service; what is chosen by measurement at its start stands in the log.

What comes in: an `Endpoint`. What goes out: a `Service` that answers, with its adapters still on disk.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from mixwright import prepacked
from mixwright.config import TrainConfig
from mixwright.errors import ModelError
from mixwright.evaluate.retention import ResponseLoss, response_loss
from mixwright.generate.batch import Limits
from mixwright.generate.continuous import ContinuousEngine
from mixwright.generate.engine import Request
from mixwright.generate.likelihoods import Likelihood, likelihoods
from mixwright.generate.loop import EngineLoop, StepReport
from mixwright.generate.residents import Residents
from mixwright.generate.vllm_engine import VllmEngine
from mixwright.models import ADAPTER_CONFIG, base_folder, load_base, load_tokenizer
from mixwright.prompts import Rendered
from mixwright.records import BASE
from mixwright.store.vllm import MAX_LORA_RANKS, vllm_fit
from mixwright.train.precision import choose_precision
from serve.adapters import locating
from serve.engine import Answerer, Prompt, TokenScores
from serve.schema import NllRow
from serve.service import Service
from serve.settings import Endpoint
from serve.threads import choose_threads

logger = logging.getLogger(__name__)

SLOT_TOKENS = 512
"""Room that each row of the cache has at least, so that texts of usual length never wait for a longer one to end."""
MEASURED_ROWS, MEASURED_PROMPT, MEASURED_TOKENS = 8, 32, 8
"""Of the decoding that threads are chosen by."""
WORTHWHILE_GAIN = 1.1
"""From which on frozen weights are kept a second time, in the layout of the processor's products."""


class Watcher(Protocol):
    """Told of steps and of answers; see `metrics`."""

    def stepped(self, report: StepReport) -> None: ...

    def answered(self, adapter: str, status: str, *, prompt_tokens: int, completion_tokens: int, seconds: float) -> None: ...


class Replica:
    """A service, and what of it can be looked at from outside."""

    def __init__(self, service: Service, engine: EngineLoop | VllmEngine, residents: Residents) -> None:
        self.service, self.engine, self.residents = service, engine, residents

    def state(self) -> dict[str, int]:
        """Requests that are waiting or in work, and adapters in memory."""
        counts = self.residents.counts
        return {"working": self.engine.working, "adapters": counts.held, "loaded": counts.loaded, "evicted": counts.evicted}

    async def check_health(self) -> None:
        """Raises what ails the engine, if anything does."""
        if isinstance(self.engine, VllmEngine):
            await self.engine.check_health()


def load_replica(endpoint: Endpoint, watcher: Watcher | None = None, on_death: Callable[[], None] = lambda: None) -> Replica:
    """Loads the base model; seconds to minutes. Adapters are loaded when they are first asked for.

    Args:
        on_death: called where the engine has processes of its own, and one of them is gone.

    Raises:
        ModelError: it cannot be loaded.
    """
    return _on_vllm(endpoint, watcher, on_death) if endpoint.serve.engine == "vllm" else _on_our_own(endpoint, watcher)


def _on_our_own(endpoint: Endpoint, watcher: Watcher | None) -> Replica:
    """Our pass, and transformers for what it does not take."""
    import torch

    settings = endpoint.serve
    on_gpu = bool(settings.gpus_per_replica)
    if not on_gpu:
        torch.set_num_threads(settings.cpus_per_replica)
    device = "cuda" if on_gpu else "cpu"
    precision = choose_precision(TrainConfig(precision=endpoint.precision), device)
    base = load_base(endpoint.model, torch.bfloat16 if precision.precision == "bf16" else torch.float32)
    if endpoint.model.quantization == "none":
        base.model.to(device)
    prepack, why = _prepack(base.model.config, precision.precision, device)
    engine = ContinuousEngine(
        base.model,
        base.tokenizer,
        limits=Limits(rows=settings.max_batch_size, cache_tokens=settings.cache_tokens, slot_tokens=SLOT_TOKENS),
        prepack=prepack,
        own_pass=settings.engine != "transformers",
    )
    threads = "" if on_gpu else f"; {choose_threads(_short_decoding(engine, base.tokenizer), settings.cpus_per_replica)[1]}"
    logger.info("serving in %s; %s; %s%s", precision.reason, why, engine.says, threads)
    loop = EngineLoop(
        engine,
        rows=settings.max_batch_size,
        max_waiting_tokens=settings.max_waiting_tokens,
        company_s=settings.batch_wait_s,
        watcher=watcher,
    )
    residents = Residents(loop, locating(endpoint.store()), most=settings.max_loaded_adapters)
    service = Service.over(
        _answerer(engine, base.tokenizer), loop, using=residents.using, timeout_s=settings.request_timeout_s, watcher=watcher
    )
    return Replica(service, loop, residents)


def _on_vllm(endpoint: Endpoint, watcher: Watcher | None, on_death: Callable[[], None]) -> Replica:
    settings = endpoint.serve
    if endpoint.model.quantization != "none":
        raise ModelError(
            f"model.quantization {endpoint.model.quantization}: serve.engine vllm takes whole weights; choose mixwright"
        )
    tokenizer = load_tokenizer(endpoint.model)
    engine = VllmEngine.load(
        base_folder(endpoint.model),
        frozenset({tokenizer.eos_token_id}),
        max_waiting_tokens=settings.max_waiting_tokens,
        on_death=on_death,
        **{
            "revision": endpoint.model.revision,
            "dtype": {"auto": "auto", "bf16": "bfloat16", "fp32": "float32"}[endpoint.precision],
            "max_num_seqs": settings.max_batch_size,
            "max_loras": settings.max_loaded_adapters,
            "max_lora_rank": _highest_rank(endpoint),
            **settings.vllm,
        },
    )
    residents = Residents(engine, locating(endpoint.store()), most=settings.max_loaded_adapters)

    def never(*_: Any) -> Any:
        raise AssertionError("vLLM's losses come through its own calls")

    answerer = Answerer(engine=None, tokenizer=tokenizer, context_length=engine.context_length, score=never)

    async def losses(rows: Sequence[NllRow], adapter: str) -> ResponseLoss:
        rendered = answerer.rendered(rows)
        found = await engine.likelihoods([tuple(row.token_ids) for row in rendered], adapter, 1)
        told = [likelihood.logprobs[row.prompt_length - 1 :] for row, likelihood in zip(rendered, found, strict=True)]
        tokens = sum(map(len, told))
        return ResponseLoss(nll=-sum(map(sum, told)) / tokens, tokens=tokens)

    async def scores(prompts: Sequence[Prompt], top: int) -> list[TokenScores]:
        ids = [answerer.continuation(prompt).prompt_ids for prompt in prompts]
        return answerer.scored(ids, await engine.likelihoods(ids, prompts[0].adapter, top))

    service = Service(
        answerer,
        engine,
        losses=losses,
        scores=scores,
        using=residents.using,
        timeout_s=settings.request_timeout_s,
        watcher=watcher,
    )
    logger.info("serving with vLLM, %d rows at once", settings.max_batch_size)
    return Replica(service, engine, residents)


def _highest_rank(endpoint: Endpoint) -> int:
    """What vLLM has to be told before it starts: the rank that the adapters which are there now need."""
    ranks = [MAX_LORA_RANKS[1]]
    store = endpoint.store()
    for name in store.names():
        folder = store.locate(name).folder
        if (folder / ADAPTER_CONFIG).exists():
            ranks.append(vllm_fit(folder).max_lora_rank or 0)
    return max(ranks)


def _prepack(config: Any, precision: str, device: str) -> tuple[bool, str]:
    """Whether to keep the weights in the layout of their products, and why."""
    if not prepacked.available(precision, device):
        return False, "weights as they are: this processor or precision has no layout of its own"
    gain = prepacked.measure_gain(2 * config.intermediate_size, config.hidden_size)
    kept = gain >= WORTHWHILE_GAIN
    return kept, f"weights {'prepacked' if kept else 'as they are'}: their products run {gain:.2f} x as fast prepacked (measured)"


def _short_decoding(engine: ContinuousEngine, tokenizer: Any) -> Callable[[], object]:
    """A few rows' prompts and first tokens, as they come at an endpoint that is not busy."""
    prompts = [tuple((row + column) % len(tokenizer) for column in range(MEASURED_PROMPT)) for row in range(MEASURED_ROWS)]
    requests = [Request(prompt_ids=prompt, max_new_tokens=MEASURED_TOKENS) for prompt in prompts]
    return lambda: engine.generate(requests)


def _answerer(engine: ContinuousEngine, tokenizer: Any) -> Answerer:
    def through(adapter: str) -> tuple[Any, str]:
        """The model that answers for an adapter, and the adapter's name in it."""
        whole = engine.tuned.get(adapter)
        return (engine.model, adapter) if whole is None else (whole, BASE)

    def score(rows: Sequence[Rendered], adapter: str) -> ResponseLoss:
        model, name = through(adapter)
        return response_loss(model, tokenizer, rows, adapter=name)

    def token_likelihoods(prompts: Sequence[tuple[int, ...]], adapter: str, top: int) -> list[Likelihood]:
        model, name = through(adapter)
        return likelihoods(model, prompts, pad_id=tokenizer.pad_token_id, top=top, adapter=name)

    return Answerer(
        engine=engine,
        tokenizer=tokenizer,
        context_length=int(engine.model.config.max_position_embeddings),
        score=score,
        likelihoods=token_likelihoods,
    )
