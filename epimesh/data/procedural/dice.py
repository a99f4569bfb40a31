"""Random choices in the words that the generators use."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import TypeVar

import numpy as np

Number = int | float
T = TypeVar("T")


@dataclass(frozen=True)
class Dice:
    """A stream of random choices.

    Args:
        random: the source of all of them.
    """

    random: np.random.Generator

    def between(self, low: Number, high: Number) -> float:
        """A number, uniformly."""
        return float(self.random.uniform(low, high))

    def log_between(self, low: Number, high: Number) -> float:
        """A positive number; every ratio is as likely as any other."""
        return exp(self.between(log(low), log(high)))

    def count(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(self.random.integers(low, high + 1))

    def chance(self, probability: Number) -> bool:
        """True with this probability."""
        return bool(self.random.random() < probability)

    def normal(self, spread: Number, mean: Number = 0.0) -> float:
        """A number from the bell curve."""
        return float(self.random.normal(mean, spread))

    def choose(self, options: Sequence[T], weights: Sequence[Number] | None = None) -> T:
        """One of the options; `weights` need not sum to 1."""
        if weights is None:
            return options[int(self.random.integers(len(options)))]
        limits = np.cumsum(weights)
        return options[int(np.searchsorted(limits, self.random.random() * limits[-1], side="right"))]

    def row(self, table: np.ndarray) -> np.ndarray:
        """One row of an array."""
        chosen: np.ndarray = table[int(self.random.integers(len(table)))]
        return chosen

    def vector(self, low: Number, high: Number) -> np.ndarray:
        """Three numbers, uniformly."""
        return self.random.uniform(low, high, 3)
