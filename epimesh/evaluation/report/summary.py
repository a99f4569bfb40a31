"""What the rows of a test say together: means over objects, with their uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from epimesh.evaluation.metrics.metric import METRICS
from epimesh.evaluation.metrics.scores import Scores

_RESAMPLES = 2000


@dataclass(frozen=True)
class Summary:
    """One measure of one method.

    Args:
        method: as in the rows.
        measure: name of the metric.
        mean: over objects, after the mean over seeds.
        low: 2.5 % quantile of the mean under resampling of the objects.
        high: 97.5 % quantile.
        spread: standard deviation over objects.
        seed_spread: standard deviation over seeds of the mean over objects; None with fewer than two seeds.
        objects: how many have this measure.
    """

    method: str
    measure: str
    mean: float
    low: float
    high: float
    spread: float
    seed_spread: float | None
    objects: int


def summarise(rows: Sequence[Scores]) -> list[Summary]:
    """Every measure of every method, in the order of their first appearance."""
    found = []
    for method in dict.fromkeys(row.method for row in rows):
        for metric in METRICS.values():
            answers = [row for row in rows if row.method == method and row[metric.name] is not None]
            if answers:
                found.append(_summary(method, metric.name, answers))
    return found


def _summary(method: str, measure: str, rows: Sequence[Scores]) -> Summary:
    per_object: dict[str, list[float]] = {}
    per_seed: dict[int | None, list[float]] = {}
    for row in rows:
        value = row[measure]
        assert value is not None
        per_object.setdefault(row.object, []).append(value)
        per_seed.setdefault(row.seed, []).append(value)
    values = np.array([np.mean(of_seeds) for of_seeds in per_object.values()])
    low, high = bootstrap_interval(values)
    means = [np.mean(of_objects) for of_objects in per_seed.values()]
    return Summary(
        method=method,
        measure=measure,
        mean=float(values.mean()),
        low=low,
        high=high,
        spread=float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        seed_spread=float(np.std(means, ddof=1)) if len(means) > 1 else None,
        objects=len(values),
    )


def bootstrap_interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the mean when the objects are drawn again and again, with replacement."""
    drawn = np.random.default_rng(seed).integers(0, len(values), (_RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(1), [0.025, 0.975])
    return float(low), float(high)
