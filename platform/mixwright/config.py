"""YAML -> one frozen, typed tree; unknown keys are refused and all problems are told at once.

What comes in: a search space (`search_spaces/*.yaml`) and `--set key=value` overrides. What goes out: a `SweepConfig`.
Everything that can be checked without data, model or cluster is checked here, before anything is started.
"""

from __future__ import annotations

import itertools
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mixwright.decoding import GREEDY, Decoding
from mixwright.errors import ConfigError
from mixwright.search_checks import DECODING as DECODING
from mixwright.search_checks import MAX_NEW_TOKENS as MAX_NEW_TOKENS
from mixwright.search_checks import MODEL_NAME as MODEL_NAME
from mixwright.search_checks import OF_THE_MODEL as OF_THE_MODEL
from mixwright.search_checks import TASK_WEIGHTS as TASK_WEIGHTS
from mixwright.search_checks import TEMPLATE as TEMPLATE
from mixwright.search_checks import TUNING as TUNING
from mixwright.search_checks import invalid_points, problems_of_space
from mixwright.search_config import ChoiceSpec as ChoiceSpec
from mixwright.search_config import ObjectiveConfig as ObjectiveConfig
from mixwright.search_config import RangeSpec as RangeSpec
from mixwright.search_config import SchedulerConfig as SchedulerConfig
from mixwright.search_config import SearchConfig as SearchConfig
from mixwright.search_config import SimplexSpec as SimplexSpec
from mixwright.search_config import ancestors
from mixwright.search_config import ends as ends
from mixwright.search_points import Points, ordered
from mixwright.serve_config import Autoscaling as Autoscaling
from mixwright.serve_config import ServeConfig as ServeConfig
from mixwright.settings import Fraction, Positive, Settings, read_value, set_dotted, validate
from mixwright.sources import DataConfig as DataConfig
from mixwright.sources import SourceConfig as SourceConfig
from mixwright.space_file import TEMPLATE_SUFFIX, make_paths_absolute, read_space

LLAMA_LINEAR_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

Auto = Literal["auto"]
AUTO: Auto = "auto"
"""A setting that follows from the cluster when a sweep starts."""
OWN_TEMPLATE, ALPACA_TEMPLATE = "own", "alpaca"
OF_A_TRIAL = "a trial of a space that was checked"
"""Validation context: what was searched is not checked once more for each trial."""


class ModelConfig(Settings):
    """The base model and what of it is tuned."""

    name: str = "embedded"
    """`embedded` (SmolLM2-135M-Instruct), a folder with safetensors, or a hub id of a LLaMA-family causal LM."""
    revision: str | None = None
    """Commit or tag of a hub id; ignored for folders."""
    template: str = "own"
    """What makes a prompt of instruction and text: `own`, the model's chat template, or Alpaca's where it has none; `alpaca`; or a
    chat template in Jinja, a file NAME.jinja that every node can read."""
    tuning: Literal["lora", "full", "none"] = "lora"
    """lora trains an adapter (its kind stands under `lora`), full every weight. none trains nothing: every trial asks `adapter`
    as it is, so that a sweep can compare how it decodes."""
    quantization: Literal["none", "nf4"] = "none"
    """nf4 holds the frozen base in 4 bits (QLoRA, Dettmers et al. 2023), a quarter of bf16's memory; needs a GPU, bitsandbytes."""
    adapter: str | None = None
    """tuning none: the folder of a LoRA adapter, counted from the current folder where relative."""
    max_length: Annotated[int, Field(ge=16)] = 512
    """Longest training row in tokens, prompt and response."""
    long_rows: Literal["drop", "truncate"] = "drop"
    """What becomes of longer training rows, counted either way. drop leaves them out. truncate cuts the end of the text within the
    prompt, never instruction or response; the response then answers more than the prompt shows. Rows that do not fit even without
    their text are left out."""

    @field_validator("template")
    @classmethod
    def _a_template_is_known_or_a_file(cls, template: str) -> str:
        if template not in (OWN_TEMPLATE, ALPACA_TEMPLATE) and not template.endswith(TEMPLATE_SUFFIX):
            raise ValueError(f"must be own, alpaca or the path of a file *{TEMPLATE_SUFFIX}, got {template!r}")
        return template

    @property
    def reading(self) -> tuple[str, str]:
        """Model and template: what the token ids of a row hang on, but for its length."""
        return self.name, self.template

    @model_validator(mode="after")
    def _an_adapter_is_given_where_nothing_is_trained(self) -> Self:
        if self.tuning == "none" and not self.adapter:
            raise ValueError("tuning none trains nothing and needs `adapter`; give the folder of one, say runs/demo/adapters/best")
        if self.tuning != "none" and self.adapter:
            raise ValueError(f"`adapter` is read where tuning is none, and it is {self.tuning}; remove it, or set `tuning: none`")
        return self

    @model_validator(mode="after")
    def _four_bits_are_not_trained(self) -> Self:
        if self.quantization != "none" and self.tuning == "full":
            raise ValueError("tuning full cannot train 4-bit weights; set `quantization: none`, or `tuning: lora`")
        return self


class LoraConfig(Settings):
    """Low-rank adapters (Hu et al. 2021). Names are PEFT's where it has them."""

    rank: Annotated[int, Field(ge=1, le=512)] = 16
    """Inner width of each adapter pair; adapter memory grows linearly with it. vLLM serves no more than 512."""
    alpha: Annotated[float, Field(gt=0)] | None = None
    """Scale of the update is alpha / rank, with use_rslora alpha / sqrt(rank); None means 2 x rank, or 2 x sqrt(rank), so that
    the scale stays put while rank is searched."""
    use_rslora: bool = False
    """Rank-stabilised scale (Kalajdzievski 2023): with a fixed `alpha`, high ranks learn as fast as low ones."""
    use_dora: bool = False
    """Length and direction of each weight row are learned apart (DoRA, Liu et al. 2024); slower steps, ZeRO 0 to 2."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    target_modules: Annotated[tuple[str, ...], Field(min_length=1)] = LLAMA_LINEAR_LAYERS

    @property
    def effective_alpha(self) -> float:
        """What PEFT is given as `lora_alpha`."""
        if self.alpha is not None:
            return self.alpha
        return 2.0 * (math.sqrt(self.rank) if self.use_rslora else self.rank)


class MixtureConfig(Settings):
    """How many rows of what; see mixture.py for the arithmetic."""

    generic_fraction: Fraction = 0.5
    """Share of generic rows among the training examples; 0 and 1 are ordinary values."""
    normalize: bool = False
    """Rescale task_weights to sum to 1 instead of refusing them."""
    task_weights: dict[str, Annotated[float, Field(ge=0.0)]] = Field(default_factory=dict)
    """Shares of the scenario's trained tasks, summing to 1; empty means equal shares, a task left out gets none."""
    budget: Literal["examples", "tokens", "scenario_examples"] = "examples"
    """What `size` counts and every trial holds fixed."""
    size: Positive = 1000
    epochs: Positive = 1
    """Times that the mixture is learned, each in an order of its own; what `size` counts is one of them."""
    max_repeats: Annotated[float, Field(ge=1.0)] = 1.0
    """A source too small is repeated up to this many times; beyond it the mixture is refused."""
    noise: Fraction = 0.0
    """Share of the scenario's rows that are learned with the response of another row of their task. More noise is the same noise
    and more; generic rows and rows of evaluation stay as they are."""
    min_overlap: Fraction = 0.0
    """Scenario rows are left out, wrong ones too, where a smaller share of the response's tokens stands in the prompt; others take
    their place. 0: no filter."""
    distinct_fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Share of the scenario's rows that are different ones; the rest of the budget repeats them."""

    @field_validator("task_weights")
    @classmethod
    def _weights_sum_to_one(cls, weights: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        total, normalize = sum(weights.values()), info.data.get("normalize", False)
        if weights and normalize and total <= 0:
            raise ValueError("task weights are all zero; give at least one task a positive weight")
        if weights and not normalize and abs(total - 1.0) > 1e-6:
            raise ValueError(f"task weights must sum to 1, got {total:.4f}; rescale them or set `normalize: true`")
        return weights

    @model_validator(mode="after")
    def _budget_fits_the_fraction(self) -> Self:
        if self.budget == "scenario_examples" and self.generic_fraction == 1.0:
            raise ValueError("generic_fraction 1 leaves no scenario examples to count; use budget: examples")
        return self


class TrainConfig(Settings):
    """The fine-tuning recipe. The size of the mixture, times its epochs, sets the number of steps."""

    micro_batch_size: Positive = 8
    """Rows of the greatest length (model.max_length) that one forward pass of one worker has to hold."""
    gradient_accumulation: Positive = 1
    """Forward passes of such rows that a worker makes for one optimiser step; global batch = micro x accumulation x workers."""
    tokens_per_pass: Positive | None = None
    """Passes are cut by tokens that have to be computed: a worker's rows of a step go into as few as hold at most this many each,
    whatever number of rows that is. None: micro_batch_size x model.max_length. What a step learns does not hang on it, only memory
    and speed do."""
    learning_rate: Annotated[float, Field(gt=0.0)] = 2e-4
    """Peak rate."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Decay after the warm-up, to zero for cosine and linear."""
    warmup_fraction: Fraction = 0.1
    """Share of the steps in which the rate rises linearly from zero."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0.0)] = 1.0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """auto: the one whose matrix products are measured to be faster, at start and said aloud."""
    zero_stage: Literal[0, 1, 2, 3] = 0
    """DeepSpeed ZeRO: sharded over workers are nothing, optimiser state, gradients too, parameters too. In bf16, 0 runs as 1."""
    offload_optimizer: Literal["none", "cpu", "nvme"] = "none"
    """Where optimiser state and fp32 masters live: the worker's device, its machine's memory (ZeRO 1 to 3), or files (ZeRO 3; a
    trial that loses its workers then starts over)."""
    offload_param: Literal["none", "cpu", "nvme"] = "none"
    """The same for the parameters themselves; ZeRO 3 alone. Each layer is fetched when it is computed."""
    nvme_path: str | None = None
    """nvme: a folder on a fast local disk of every node; DeepSpeed's swap files go there, each worker's into its own folder."""
    activation_checkpointing: bool | Literal["auto"] = "auto"
    """Recompute activations in the backward pass: about a third more time for far less memory. auto: where the estimate of a run
    without it does not fit into the device's free memory."""
    compile: bool | Literal["auto"] = "auto"
    """torch.compile for the decoder layers. auto: where its measured gain over the run is worth its measured cost, a minute or so a
    worker process. Not with ZeRO 3."""
    prepack: bool | Literal["auto"] = "auto"
    """Processors: keep frozen weights also in the layout of their products, for two copies more of the layers' matrices. auto: in
    bf16, where that is measured to be faster and the copies take a small part of the free memory."""
    seed: int | None = None
    """Seed of adapter start, data order and dropout; None: search.seed. Searched, it repeats a point over seeds: which rows are
    learned and which are evaluated stays with search.seed."""

    @model_validator(mode="after")
    def _offload_has_what_it_needs(self) -> Self:
        problems = []
        if self.offload_optimizer == "cpu" and self.zero_stage == 0:
            problems.append("offload_optimizer cpu needs zero_stage 1, 2 or 3, got 0; raise it, or set none")
        if self.offload_optimizer == "nvme" and self.zero_stage != 3:
            problems.append(f"offload_optimizer nvme needs zero_stage 3, got {self.zero_stage}; raise it, or offload to cpu")
        if self.offload_param != "none" and self.zero_stage != 3:
            problems.append(f"offload_param {self.offload_param} needs zero_stage 3, got {self.zero_stage}; raise it, or set none")
        if self.uses_nvme and not self.nvme_path:
            problems.append("offloading to nvme needs `nvme_path`; give a folder on a fast local disk of every node")
        if self.nvme_path and not self.uses_nvme:
            problems.append("`nvme_path` is read where something is offloaded to nvme, and nothing is; remove it")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def uses_nvme(self) -> bool:
        return "nvme" in (self.offload_optimizer, self.offload_param)

    @property
    def keeps_checkpoints(self) -> bool:
        """Whether a trial that loses its workers goes on where it was. DeepSpeed 0.19 brings an optimiser's files back, but goes
        on with other updates than it would have made: such a trial starts over."""
        return self.offload_optimizer != "nvme"

    @model_validator(mode="after")
    def _compiled_layers_hold_their_parameters(self) -> Self:
        if self.compile is True and self.zero_stage == 3:
            raise ValueError("compile true: ZeRO 3 fetches parameters within the layers, which forbids it; set `compile: auto`")
        return self


class EvaluationConfig(Settings):
    """How much is evaluated, and when."""

    dev_rows: Positive = 16
    """Rows a task at each rung, during the search."""
    test_rows: Positive = 64
    """Rows a task in the final table, base and best over HTTP."""
    retention_rows: Positive = 32
    """Held-out generic rows whose response NLL is compared with the base model's."""
    batch_size: Positive = 16
    max_new_tokens: Positive = 96
    """An answer ends here at the latest."""
    decoding: Decoding = GREEDY
    bootstrap_draws: Annotated[int, Field(ge=100)] = 1000
    """Resamples behind each interval, swaps behind each p-value, and experiments behind each statement of power (at most 1000)."""
    interesting_difference: Annotated[float, Field(gt=0.0)] = 3.0
    """What would matter to you, in points of 0 to 100: where a task's rows cannot show so small a difference, tables say so."""


class ClusterConfig(Settings):
    """Resources of one trial, and trials side by side. `auto` is settled once, when the sweep starts, said in a log line and
    written to the run's configuration; a resumed run keeps its workers, whatever cluster it goes on."""

    workers: Positive | Auto = AUTO
    """Ray Train workers a trial; each is one DeepSpeed rank. auto: 1, so that trials run side by side; under ZeRO-3, which is for
    models that one device cannot hold, as many as the largest node has room for."""
    cpus_per_worker: Positive = 1
    gpus_per_worker: Annotated[int, Field(ge=0)] | Auto = AUTO
    """auto: 1 where a node of the cluster has a GPU, else 0. Set it where a cluster that grows starts without GPUs."""
    max_failures: Annotated[int, Field(ge=0)] = 2
    """Times a trial may lose its workers; they are started again, and it goes on from its last checkpoint."""
    lanes: Positive | Auto = AUTO
    """Trials side by side. auto: as many as the cluster holds. Set it where the cluster grows on demand."""
    elastic: bool | Auto = AUTO
    """Whether lanes are added while the search runs, once nodes have joined. auto: where `lanes` is auto; a number stays."""
    driver_resource: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Name of a custom Ray resource that nodes which stay have (`durable` in cluster.yaml). Each lane's driver takes a unit of it,
    so that a spot node which goes takes workers with it and never a lane. None: drivers live on any node."""
    address: str | None = None
    """Ray cluster to join; None: the one that the job runs on, else a local one."""
    tokens_per_second: Annotated[float, Field(gt=0.0)] | None = None
    """Of a trial's workers together, as its step lines say; --plan counts with it instead of an estimate."""
    price_per_worker_hour: Annotated[float, Field(ge=0.0)] | None = None
    """In any currency; --plan says what the sweep would cost."""
    dashboard: bool = True
    """Of a local cluster: start Ray's dashboard, on loopback."""

    @field_validator("lanes", mode="before")
    @classmethod
    def _none_was_once_auto(cls, lanes: Any) -> Any:
        return AUTO if lanes is None else lanes

    @property
    def worker_count(self) -> int:
        """`workers`, once it is settled."""
        assert isinstance(self.workers, int), "cluster.workers is not settled"
        return self.workers

    @property
    def gpus_each(self) -> int:
        """`gpus_per_worker`, once it is settled."""
        assert isinstance(self.gpus_per_worker, int), "cluster.gpus_per_worker is not settled"
        return self.gpus_per_worker


class TrackingConfig(Settings):
    """Where trials are told beside the run folder; one that fails never ends a sweep."""

    tensorboard: bool = True
    """Event files under tensorboard/ in the run folder."""
    mlflow: str | None = None
    """Tracking URI of MLflow, such as http://mlflow:5000 or sqlite:///mlflow.db; $NAME comes from the environment."""
    wandb: str | None = None
    """Project in Weights & Biases; key, address and offline mode are the environment's (WANDB_API_KEY, WANDB_MODE, ...)."""


class SweepConfig(Settings):
    """A search space: one experiment, from data to report."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    question: str = ""
    """What the experiment answers; stands at the head of the report."""
    scenario: str = "writing"
    """A shipped scenario's name or the path of a YAML file, from the search space's folder."""
    unseen: tuple[str, ...] | None = None
    """Tasks to hold out of training instead of those that the scenario holds out."""
    model: ModelConfig = ModelConfig()
    lora: LoraConfig = LoraConfig()
    data: DataConfig = DataConfig()
    mixture: MixtureConfig = MixtureConfig()
    train: TrainConfig = TrainConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    search: SearchConfig = SearchConfig()
    cluster: ClusterConfig = ClusterConfig()
    serve: ServeConfig = ServeConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _nothing_is_set_for_a_training_that_does_not_happen(self) -> Self:
        if self.model.tuning != "none":
            return self
        problems = [
            f"search.parameters.{key}: model.tuning is none, so nothing is trained; search {DECODING} or {MAX_NEW_TOKENS}"
            for key in self.search.parameters
            if not key.startswith((DECODING, MAX_NEW_TOKENS))
        ]
        unread = {
            "lora": self.lora != LoraConfig(),
            "mixture": self.mixture != MixtureConfig(),
            "train": self.train.model_copy(update={"precision": "auto"}) != TrainConfig(),
        }
        problems += [
            f"{section}: model.tuning is none, so nothing is trained and this would be ignored; remove it"
            for section, is_set in unread.items()
            if is_set
        ]
        if self.search.scheduler.rungs != (1.0,):
            rungs = list(self.search.scheduler.rungs)
            problems.append(f"search.scheduler.rungs: model.tuning is none, so there is one evaluation a trial: [1.0], got {rungs}")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @model_validator(mode="after")
    def _the_method_can_run(self) -> Self:
        problems = [*self._problems_of_quantization()] if self.model.quantization != "none" else []
        if self.lora.use_dora and self.train.zero_stage == 3:
            problems.append(
                "lora.use_dora: DoRA measures whole weights of the base, which ZeRO 3 shards; set train.zero_stage to 2 or less, "
                "or `use_dora: false`"
            )
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _problems_of_quantization(self) -> Iterator[str]:
        if not self.cluster.gpus_per_worker:
            yield (
                f"model.quantization {self.model.quantization} runs on GPUs alone, and cluster.gpus_per_worker is 0; "
                "set it to 1, or `quantization: none`"
            )
        if self.train.zero_stage == 3:
            yield (
                f"model.quantization {self.model.quantization}: ZeRO 3 cannot shard 4-bit weights; set train.zero_stage to 2 or "
                "less, or `quantization: none`"
            )

    def ignored(self) -> Iterator[str]:
        """Settings of adapters that a sweep of full fine-tunes would not read."""
        parameters = self.search.parameters
        if TUNING in parameters:
            for key in parameters:
                conditions = [parameters[name].when for name in (key, *ancestors(parameters, key))]
                if key.startswith("lora.") and not any(TUNING in condition for condition in conditions):
                    way_out = f"give it `when: {{{TUNING}: lora}}`"
                    yield f"search.parameters.{key}: is of adapters alone, and {TUNING} is searched; {way_out}"
        if self.model.tuning != "full" or TUNING in parameters:
            return
        if self.lora != LoraConfig():
            yield "lora: model.tuning is full, so no adapter is made and this would be ignored; remove it, or set tuning lora"
        for key in self.search.parameters:
            if key.startswith("lora."):
                yield f"search.parameters.{key}: model.tuning is full, so no adapter is made; remove it, or set tuning lora"

    @model_validator(mode="after")
    def _searched_keys_exist(self, info: ValidationInfo) -> Self:
        if info.context == OF_A_TRIAL:
            return self
        if problems := problems_of_space(self):
            raise ValueError("\n".join(problems))
        return self

    @property
    def points(self) -> Points:
        """The searched space."""
        parameters = ordered(self.search.parameters)
        return Points(parameters=parameters, whole=frozenset(key for key in parameters if is_whole(key)))

    @property
    def every_model(self) -> tuple[ModelConfig, ...]:
        """The models that trials may draw, each template and way of tuning by itself; the file's own comes first."""
        fields = [key.removeprefix("model.") for key in OF_THE_MODEL]
        specs = [self.search.parameters.get(key) for key in OF_THE_MODEL]
        values = [
            dict.fromkeys([getattr(self.model, field), *(spec.choices if isinstance(spec, ChoiceSpec) else ())])
            for field, spec in zip(fields, specs, strict=True)
        ]
        return tuple(self.model.model_copy(update=dict(zip(fields, drawn, strict=True))) for drawn in itertools.product(*values))

    @property
    def trial_seed(self) -> int:
        """Of what differs when a point is repeated: adapter start, data order and dropout."""
        return self.search.seed if self.train.seed is None else self.train.seed

    @property
    def tokens_per_pass(self) -> int:
        """The most computed tokens of one forward pass of one worker, but for a single longer row."""
        return self.train.tokens_per_pass or self.train.micro_batch_size * self.model.max_length

    def with_values(self, values: Mapping[str, Any], *, check_search: bool = True) -> Self:
        """The configuration of one trial: dotted keys replaced, everything validated again.

        Task weights that are searched are rescaled to sum to 1, since independent draws never would.

        Raises:
            ConfigError: an unknown key or a value that breaks a rule.
        """
        tree = self.model_dump(mode="json")
        if not check_search:
            tree["search"] |= {"parameters": {}, "first": [], "trials": 1, "sampler": "tpe", "constraints": {}}
        for key, value in values.items():
            set_dotted(tree, key, _as_declared(tree, key, value))
        if any(key.startswith("mixture.task_weights.") for key in values):
            tree["mixture"]["normalize"] = True
        return validate(type(self), tree, where="trial", context=OF_A_TRIAL)


def is_whole(key: str) -> bool:
    """Whether a dotted key holds whole numbers, by its declared type."""
    kinds: list[Any] = [SweepConfig]
    for part in key.split("."):
        fields = [
            kind.model_fields[part]
            for kind in kinds
            if isinstance(kind, type) and issubclass(kind, Settings) and part in kind.model_fields
        ]
        mapped = [args[1] for kind in kinds if typing.get_origin(kind) is dict for args in [typing.get_args(kind)]]
        kinds = [leaf for annotation in (*(field.annotation for field in fields), *mapped) for leaf in _leaves(annotation)]
    return int in kinds and float not in kinds


def _type_below(kind: Any, part: str) -> Any:
    if typing.get_origin(kind) is dict:
        return typing.get_args(kind)[1]
    field = kind.model_fields.get(part) if isinstance(kind, type) and issubclass(kind, Settings) else None
    return field.annotation if field else None


def _leaves(annotation: Any) -> Iterator[Any]:
    """The types that an annotation allows, unions and `Annotated` taken apart."""
    if typing.get_origin(annotation) is Annotated:
        yield from _leaves(typing.get_args(annotation)[0])
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _leaves(part)
    else:
        yield annotation


def _as_declared(tree: dict[str, Any], key: str, value: Any) -> Any:
    """Samplers draw floats; a key whose present value is an int gets one, where the draw is whole."""
    node: Any = tree
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    if isinstance(node, int) and not isinstance(node, bool) and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def load_config(path: Path, overrides: Sequence[str] = ()) -> SweepConfig:
    """Loads a search space and applies `key=value` overrides (values are YAML).

    `extends: OTHER.yaml`, counted from the file's folder, takes over another space. What the file gives itself takes the place of
    it: in a section key by key, and a key's value (all of `search.parameters`, say) as a whole.

    Raises:
        ConfigError: the file cannot be read, or breaks rules; every problem is listed.
    """
    tree = read_space(path)
    for override in overrides:
        key, value = read_value("--set", override)
        node = tree
        *parents, last = key.split(".")
        for part in parents:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise ConfigError(f"--set {override!r}: `{part}` holds a plain value and has no keys below it")
        node[last] = value
    make_paths_absolute(tree, path.parent)
    config = validate(SweepConfig, tree, where=str(path))
    if problems := [*config.ignored()] or [*invalid_points(config)]:
        raise ConfigError(f"{path}: " + "\n".join(problems))
    return config
