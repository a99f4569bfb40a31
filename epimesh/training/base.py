"""What all our trainings share: a schedule by wall clock, averaged weights, and export."""

import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning
import torch
from torch import nn


def rate_at(progress: float, warm_up: float = 0.02, decay: float = 0.4) -> float:
    """The factor of the learning rate after the share `progress` of the time: a ramp, a plateau, a linear decay.

    Schedules by wall clock end when they should, however busy the machine is.
    """
    return max(1e-3, min(1.0, progress / warm_up, (1 - progress) / decay))


class ExponentialMovingAverage:
    """An exponential moving average of a network's weights, with a warm-up.

    Args:
        network: whose weights are averaged.
        decay: of the average once it is warm.
    """

    def __init__(self, network: nn.Module, decay: float = 0.998) -> None:
        self.decay = decay
        self.steps = 0
        self.weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Moves the average towards the current weights; with a decay of 1 it stays, and there is no warm-up."""
        if self.decay >= 1:
            return
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        state = network.state_dict()
        self._move(next(iter(state.values())).device)
        moving = [name for name, tensor in state.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([self.weights[name] for name in moving], [state[name] for name in moving], 1 - decay)
        for name in state.keys() - set(moving):
            self.weights[name].copy_(state[name])

    @contextmanager
    def within(self, network: nn.Module) -> Iterator[None]:
        """The network has the averaged weights inside, and its own again afterwards."""
        current = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        network.load_state_dict(self.weights)
        try:
            yield
        finally:
            network.load_state_dict(current)

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {"weights": self.weights, "steps": self.steps}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`."""
        self.weights, self.steps = state["weights"], state["steps"]

    def _move(self, device: torch.device) -> None:
        """To where the network learns, once."""
        if next(iter(self.weights.values())).device != device:
            self.weights = {name: tensor.to(device) for name, tensor in self.weights.items()}


class Exporting(pytorch_lightning.LightningModule):
    """Leaves something usable: exports now and then, and at the end.

    Args:
        export: folder to write to.
        export_every: steps between exports, so that an interrupted training leaves something usable; None exports only
            at the end.
    """

    def __init__(self, export: str, export_every: int | None) -> None:
        super().__init__()
        self.export = Path(export)
        self.export_every = export_every

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Exports now and then."""
        if self.export_every is not None and self.global_step % self.export_every == 0:
            self.save_for_use()

    def on_train_end(self) -> None:
        """Exports."""
        self.save_for_use()

    @abstractmethod
    def save_for_use(self) -> None:
        """Writes to `export` what a stage loads."""


class Training(Exporting):
    """Base of the trainings: AdamW, the schedule, the average, and saving for use.

    Args:
        network: what learns.
        export: folder that the averaged network is saved to, in half precision.
        minutes: length of the schedule by wall clock; `--trainer.max_steps` may stop it earlier.
        rate: peak learning rate.
        decay: of the averaged weights.
        export_every: steps between exports, so that an interrupted training leaves something usable; None exports only
            at the end.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        export: str,
        minutes: float,
        rate: float,
        decay: float,
        export_every: int | None = None,
    ) -> None:
        super().__init__(export, export_every)
        self.network = network
        self.minutes = minutes
        self.rate = rate
        self.averaged = ExponentialMovingAverage(network, decay)
        self.spent = 0.0  # minutes, over all sessions of this training
        self._clock = time.monotonic()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on what requires gradients."""
        groups = [
            {"params": [parameter for parameter in parameters if parameter.requires_grad], "share": share}
            for share, parameters in self.shares()
        ]
        return torch.optim.AdamW(groups, lr=self.rate, betas=(0.9, 0.98), weight_decay=1e-3)

    def shares(self) -> list[tuple[float, Iterable[nn.Parameter]]]:
        """Which share of the learning rate which parameters learn at; all of them at the whole rate."""
        return [(1.0, self.network.parameters())]

    def on_train_start(self) -> None:
        """Starts the clock."""
        self._clock = time.monotonic()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        """Sets the learning rate for the time spent; ends the training when the time is over."""
        now = time.monotonic()
        self.spent += (now - self._clock) / 60
        self._clock = now
        progress = self.progress()
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.rate * group.get("share", 1.0) * rate_at(min(progress, 1.0))
        if progress >= 1:
            self.trainer.should_stop = True
        return None

    def progress(self) -> float:
        """How much of the schedule is over, 0 to 1."""
        return self.spent / self.minutes

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Takes the step, then averages."""
        super().optimizer_step(*args, **kwargs)
        self.after_step()

    def after_step(self) -> None:
        """Moves the average after every step of the optimiser."""
        self.averaged.update(self.network)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the average and the time spent."""
        checkpoint["averaged"] = self.averaged.state()
        checkpoint["minutes_spent"] = self.spent

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Goes on where the checkpoint was."""
        self.averaged.restore(checkpoint["averaged"])
        self.spent = checkpoint["minutes_spent"]

    def save_for_use(self) -> None:
        """Writes the averaged network to `export` in half precision."""
        with self.averaged.within(self.network):
            self.write_export(self.export)

    def write_export(self, folder: Path) -> None:
        """Saves the network, which now holds the averaged weights."""
        half = self.network.half()
        half.save_pretrained(folder)
        self.network.float()
