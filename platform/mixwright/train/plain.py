"""One worker without DeepSpeed: the few methods of its engine that training calls, in plain torch.

What comes in: module, optimiser and schedule, as `deepspeed.initialize` takes them. What goes out: the same updates. It stands in
where DeepSpeed is not installed, so that one GPU or one process can train and be measured with torch, transformers and PEFT alone;
more workers or a sharded optimiser need DeepSpeed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixwright.config import TrainConfig

STATE_FILE = "plain_engine.pt"


class TorchWriter:
    """torch.save behind the names of DeepSpeed's writers, which a checkpoint looks after while it is written."""

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        Path(path).mkdir(parents=True, exist_ok=exist_ok)

    def save(self, state_dict: Any, path: str) -> None:
        import torch

        torch.save(state_dict, path)


class PlainEngine:
    """Gradient accumulation, clipping and fp32 master weights around an optimiser.

    Weights in bf16 are too coarse to add small updates to: the optimiser moves fp32 copies, and the model gets them rounded.
    """

    def __init__(self, module: Any, optimizer: Any, scheduler: Any, train: TrainConfig) -> None:
        self.module, self._optimizer, self._scheduler, self._train = module, optimizer, scheduler, train
        self._tuned = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self._masters = [parameter.detach().float().clone() for parameter in self._tuned]
        for group in optimizer.param_groups:
            of_group = {id(parameter) for parameter in group["params"]}
            pairs = zip(self._tuned, self._masters, strict=True)
            group["params"] = [master for parameter, master in pairs if id(parameter) in of_group]
        self._grad_norm: float | None = None
        self.global_steps = 0
        """Taken so far."""
        self.checkpoint_engine: Any = TorchWriter()

    def __call__(self, *inputs: Any) -> Any:
        return self.module(*inputs)

    def train(self) -> None:
        self.module.train()

    def set_gradient_accumulation_boundary(self, is_boundary: bool) -> None:
        """DeepSpeed shards and sends gradients when the last pass begins; here nothing hangs on it."""

    def backward(self, loss: Any) -> None:
        """Adds the gradient of a pass to that of the masters."""
        loss.backward()
        for parameter, master in zip(self._tuned, self._masters, strict=True):
            if parameter.grad is not None:
                gradient = parameter.grad.float()
                master.grad = gradient if master.grad is None else master.grad + gradient
                parameter.grad = None

    def step(self) -> None:
        """Moves the weights by what the step's passes have added up."""
        import torch

        self._grad_norm = float(torch.nn.utils.clip_grad_norm_(self._masters, self._train.max_grad_norm))
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._scheduler.step()
        self.global_steps += 1
        self._round_masters_into_the_model()

    def _round_masters_into_the_model(self) -> None:
        import torch

        with torch.no_grad():
            for parameter, master in zip(self._tuned, self._masters, strict=True):
                parameter.copy_(master)

    def get_lr(self) -> list[float]:
        return [group["lr"] for group in self._optimizer.param_groups]

    def get_global_grad_norm(self) -> float | None:
        """Of the last step, before clipping."""
        return self._grad_norm

    def save_checkpoint(self, folder: str, tag: str, **_: Any) -> None:
        """Writes what is tuned, optimiser and schedule; DeepSpeed's other options say what this always does."""
        target = Path(folder, tag)
        self.checkpoint_engine.makedirs(str(target), exist_ok=True)
        state = {
            "masters": self._masters,
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
        }
        self.checkpoint_engine.save(state, str(target / STATE_FILE))

    def load_checkpoint(self, folder: str, tag: str, **_: Any) -> tuple[str | None, dict[str, Any]]:
        """Reads it back; the path, or None where there is no checkpoint of this engine."""
        import torch

        path = Path(folder, tag, STATE_FILE)
        if not path.exists():
            return None, {}
        state = torch.load(path, weights_only=True)
        with torch.no_grad():
            for master, saved in zip(self._masters, state["masters"], strict=True):
                master.copy_(saved)
        self._round_masters_into_the_model()
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        return str(path), {}

    def destroy(self) -> None:
        """Lets go of optimiser state and masters; the module goes on living."""
        self._optimizer = self._scheduler = None
        self._masters = []
