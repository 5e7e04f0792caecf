"""The `serve` section of a search space: where the endpoint listens, on how many copies of the model, and what it admits.

What comes in: the section as YAML gives it. What goes out: a `ServeConfig`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mixwright.settings import Positive, Settings


class Autoscaling(Settings):
    """Replicas that come and go with the work there is."""

    min: Positive = 1
    max: Positive = 2
    target_ongoing_requests: Positive = 32
    """Texts in work or waiting a replica, beyond which another one is started."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"max must be at least min, got {self.max} and {self.min}; swap them")
        return self


class ServeConfig(Settings):
    """The endpoint that the final evaluation asks, and that `serve run` starts."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    engine: Literal["auto", "mixwright", "transformers", "vllm"] = "auto"
    """mixwright: continuous batching of our own; transformers: whole batches; vllm: on GPUs, `pip install 'mixwright[vllm]'`.
    auto is mixwright, which leaves to transformers what it cannot do."""
    replicas: Positive | Autoscaling = 1
    """Copies of the model: a number, or {min, max, target_ongoing_requests}."""
    cpus_per_replica: Positive = 1
    gpus_per_replica: Annotated[float, Field(ge=0.0)] = 0
    max_batch_size: Positive = 16
    """Rows in work at once."""
    cache_tokens: Positive = 16_384
    """Tokens, prompts and answers to be, of all rows in work; each needs keys and values in memory."""
    batch_wait_s: Annotated[float, Field(ge=0.0)] = 0.0
    """How long the first request after a pause waits for others to begin with. Rows join at any time, so it may be 0."""
    max_waiting_tokens: Positive = 131_072
    """Prompts and answers to be that wait in a replica; where there are more, requests are refused with status 429."""
    max_loaded_adapters: Positive = 16
    """Adapters in memory; for a further one, the one longest unused is evicted."""
    allow_adapter_paths: bool = False
    """Whether requests may name an adapter by its folder, an absolute path on the replica's machine."""
    request_timeout_s: Annotated[float, Field(gt=0.0)] = 600.0
    """An answer that takes longer is given up; replicas that are replaced have so long to finish."""
    vllm: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of vLLM's engine, such as {gpu_memory_utilization: 0.8}."""
