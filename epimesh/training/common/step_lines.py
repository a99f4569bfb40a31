"""A line on how the training goes, every so many steps: what a redirected log of a cluster shows."""

import sys
import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class StepLines(Callback):
    """Prints step, losses and seconds per step, every `--trainer.log_every_n_steps`, and every validation."""

    def __init__(self) -> None:
        self._begun = (0, time.monotonic())

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock, and says how many processes there are."""
        self._begun = (trainer.global_step, time.monotonic())
        _say(trainer, f"{trainer.world_size} process(es), {trainer.precision}, from step {trainer.global_step}")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Prints now and then; the first step, too, so that one sees that it runs."""
        step = trainer.global_step
        if step == self._begun[0] or (step % trainer.log_every_n_steps and step != 1):
            return
        first, since = self._begun
        seconds = (time.monotonic() - since) / (step - first)
        self._begun = (step, time.monotonic())
        _say(trainer, f"step {step}  {_told(trainer)}  {seconds:.3g} s per step")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints what the validation found."""
        if not trainer.sanity_checking:
            _say(trainer, f"step {trainer.global_step}  {_told(trainer, 'val_')}")
            self._begun = (trainer.global_step, time.monotonic())


def _told(trainer: Trainer, prefix: str = "") -> str:
    found = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith(prefix)}
    return "  ".join(f"{name} {value:.4g}" for name, value in found.items() if prefix or not name.startswith("val_"))


def _say(trainer: Trainer, line: str) -> None:
    if trainer.is_global_zero:
        print(line, file=sys.stderr, flush=True)
