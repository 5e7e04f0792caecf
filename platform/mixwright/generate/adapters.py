"""Which adapter each row of a forward pass goes through, and the model's state around it.

PEFT can send every row of one batch through an adapter of its own, unless that is a DoRA adapter: rows of one of those need a
pass to themselves. This module speaks PEFT's language, so that engines and retention need not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mixwright.errors import ModelError, did_you_mean
from mixwright.records import BASE

PEFT_BASE = "__base__"
"""PEFT's name for a row that goes through no adapter."""


def adapter_names(model: Any) -> tuple[str, ...]:
    """Adapters that a PEFT model holds; none for a plain model."""
    from peft import PeftModel

    return tuple(model.peft_config) if isinstance(model, PeftModel) else ()


def check_held(model: Any, names: Iterable[str]) -> None:
    """Nothing where the model holds all of these.

    Raises:
        ModelError: a name that it does not hold.
    """
    known = (BASE, *adapter_names(model))
    for name in names:
        if name not in known:
            raise ModelError(f"no adapter '{name}'; there are {', '.join(known)}{did_you_mean(name, known)}")


def needs_own_pass(model: Any, name: str) -> bool:
    """Whether rows through this adapter cannot share a pass with others."""
    return name in adapter_names(model) and bool(getattr(model.peft_config[name], "use_dora", False))


def drop_adapter(model: Any, name: str) -> None:
    """Takes an adapter and its memory out of a PEFT model; nothing where the model does not hold it."""
    if name in adapter_names(model):
        model.base_model.set_adapter([other for other in model.active_adapters if other != name], inference_mode=True)
        model.delete_adapter(name)


def clear_failed(model: Any, name: str) -> None:
    """Takes away what an adapter left that could not be loaded, so that the next one meets the model as it was."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    if name in adapter_names(model):
        drop_adapter(model, name)
    elif not adapter_names(model):
        wrapped = [(path, module) for path, module in model.named_modules() if isinstance(module, BaseTunerLayer)]
        for path, module in wrapped:
            parent, _, child = path.rpartition(".")
            setattr(model.get_submodule(parent), child, module.get_base_layer())


@contextmanager
def active(model: Any, name: str) -> Iterator[None]:
    """The one adapter alone is active; what was active before, and what was being learned, comes back afterwards."""
    before = list(model.active_adapters)
    if before == [name]:
        yield
        return
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.base_model.set_adapter(name, inference_mode=True)
    try:
        yield
    finally:
        model.base_model.set_adapter(before, inference_mode=True)
        for parameter in learned:
            parameter.requires_grad_(True)


def forward(model: Any, adapters: Sequence[str] | None, **inputs: Any) -> Any:
    """The model's output, row i of the inputs through adapter `adapters[i]`; what is active in the model stays active.

    None leaves all rows to what is active.

    Where all rows are on the single active adapter, or the model has none, this is the model's plain pass, which skips
    PEFT's gathering of sub-batches. The mixed pass needs the model in evaluation mode.

    Raises:
        ModelError: a name that the model does not hold, or one that needs a pass of its own beside another.
    """
    return _through(model, adapters, lambda chosen: chosen, inputs)


def generate(model: Any, adapters: Sequence[str], **arguments: Any) -> Any:
    """What transformers' own `generate` gives, row i through adapter `adapters[i]`; as `forward` otherwise."""
    return _through(model, adapters, lambda chosen: chosen.generate, arguments)


def _through(model: Any, adapters: Sequence[str] | None, method: Callable[[Any], Any], arguments: dict[str, Any]) -> Any:
    from peft import PeftModel

    held = adapter_names(model)
    check_held(model, adapters or ())
    if not held:
        plain: Any = model.base_model.model if isinstance(model, PeftModel) else model  # PEFT's own pass needs an adapter
        return method(plain)(**arguments)
    names = list(dict.fromkeys(adapters or ()))
    if adapters is None or list(model.active_adapters) == names:
        return method(model)(**arguments)
    if apart := [name for name in names if needs_own_pass(model, name)]:
        if len(names) > 1:
            raise ModelError(f"rows of the DoRA adapter '{apart[0]}' need a pass of their own, got {', '.join(names)} in one")
        with active(model, apart[0]):
            return method(model)(**arguments)
    return method(model)(adapter_names=[PEFT_BASE if name == BASE else name for name in adapters], **arguments)


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Evaluation mode without gradients; every part's own mode comes back afterwards, errors or not."""
    import torch

    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True
