"""A frozen copy of what learns, one update behind its average: the base of a self-distillation."""

from copy import deepcopy
from typing import Any

from torch import nn

from epimesh.training.base import ExponentialMovingAverage


class EmaTeacher:
    """The base that prompts a learning refiner: begins as its copy, then follows its averaged weights.

    It is no module, so a training that holds one neither learns it nor moves it: `network.to` is up to the training.

    Args:
        network: what learns; it is copied.

    Attributes:
        network: the frozen copy, in eval mode.
        version: how often its weights were replaced.

    Source:
        Chen et al., "Cascade-Zero123" (arXiv:2312.04424): the base is an exponential moving average of the refiner.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = deepcopy(network).eval().requires_grad_(False)
        self.version = 0

    def follow(self, averaged: ExponentialMovingAverage) -> None:
        """Takes the average's weights."""
        self.network.load_state_dict(averaged.weights)
        self.version += 1

    def after_step(self, averaged: ExponentialMovingAverage, network: nn.Module) -> None:
        """What an optimiser step is followed by: the base takes the average, and only then the average moves.

        With a decay of 0 the base is the refiner of the step before. With one of 1 both stay as they began.

        Source:
            The published training code of Cascade-Zero123, in this order: the base lags by one update.
        """
        self.follow(averaged)
        averaged.update(network)

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs, for the weights are not those of the average any more."""
        return {"weights": self.network.state_dict(), "version": self.version}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state`."""
        self.network.load_state_dict(state["weights"])
        self.version = state["version"]
