"""What the rungs of an error budget say: the price of every stage, the dearest of them, and a figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from epimesh.evaluation.metrics.metric import METRICS
from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.protocols.budget import DEPTH, FOUND, LATENTS, MASK, MESH, SOLID, VIEWS
from epimesh.evaluation.report.summary import bootstrap_interval
from epimesh.evaluation.report.svg import Scale, axis, bar, drawing, number, words
from epimesh.files.meshes import write_whole

STEPS = {
    "finding the mask": (FOUND, MASK),
    "imagining the views": (MASK, LATENTS),
    "autoencoder": (LATENTS, VIEWS),
    "surface from views": (VIEWS, DEPTH),
    "what no camera sees": (DEPTH, SOLID),
    "triangles": (SOLID, MESH),
}
MEASURES = ("volume_iou", "chamfer_visible", "chamfer_surface", "f_score", "textured_psnr")
"""Metrics by which a stage has a price."""


@dataclass(frozen=True)
class Cost:
    """What one step takes away, by one measure, over the objects that have both rungs.

    Args:
        step: its name.
        measure: name of the metric.
        before: mean where the stage does its work.
        after: mean where the truth takes its place.
        low: 2.5 % quantile of the mean cost under resampling of the objects.
        high: 97.5 % quantile.
        objects: how many.
    """

    step: str
    measure: str
    before: float
    after: float
    low: float
    high: float
    objects: int

    @property
    def mean(self) -> float:
        """Positive where quality is lost."""
        return _sign(self.measure) * (self.after - self.before)


def costs(rows: Sequence[Scores]) -> list[Cost]:
    """Every step by every measure, as far as there are objects that have both its rungs."""
    found = []
    for measure in MEASURES:
        for step, (made, true) in STEPS.items():
            before, after = (_per_object(rows, rung, measure) for rung in (made, true))
            both = [name for name in before if name in after]
            if both:
                pairs = np.array([[before[name], after[name]] for name in both])
                low, high = bootstrap_interval(_sign(measure) * (pairs[:, 1] - pairs[:, 0]))
                means = pairs.mean(0)
                found.append(Cost(step, measure, float(means[0]), float(means[1]), low, high, len(both)))
    return found


def _sign(measure: str) -> int:
    """1 where more is better, -1 where less is."""
    return 1 if METRICS[measure].higher_is_better else -1


def _per_object(rows: Sequence[Scores], rung: str, measure: str) -> dict[str, float]:
    """Means over seeds."""
    values: dict[str, list[float]] = {}
    for row in rows:
        value = row[measure]
        if row.method == rung and value is not None and np.isfinite(value):
            values.setdefault(row.object, []).append(value)
    return {name: float(np.mean(found)) for name, found in values.items()}


def budget_table(rows: Sequence[Scores]) -> str:
    """What every step costs, and which is the dearest, in Markdown."""
    found = {(cost.step, cost.measure): cost for cost in costs(rows)}
    titles = [f"{METRICS[name].title} {'lost' if _sign(name) > 0 else 'added'}" for name in MEASURES]
    lines = ["", "## What every stage costs", "", "| stage | " + " | ".join(titles) + " |", "|---" * 6 + "|"]
    for step in STEPS:
        cells = [_cell(found.get((step, measure))) for measure in MEASURES]
        lines.append(f"| {step} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_verdicts(list(found.values())), "", *_EXPLANATION, ""])


_EXPLANATION = [
    "Mean over the objects that have both rungs [95 % bootstrap interval over objects] (how many). Negative: the stage "
    "does better than what replaced it.",
    "Finding the mask: by the saliency network that the package finds (`epimesh doctor` names it), on a textured "
    "background, in the frame of the photo; framing is not priced. Surface from views: against the true depth of the "
    "same cameras, carved from a grid of 128 points per side, which is no upper bound where parts are thinner than its "
    "cells. What no camera sees: undersides and deep hollows, and that grid. Triangles: marching cubes and "
    "simplification of the true signed distance. What the rung `true mesh` lacks in dB is the cost of unrolling and "
    "baking alone. Decibels do not add up: near the top many stand for a small error, so the dearest step by them is "
    "the one with the largest root mean square error.",
]


def _cell(cost: Cost | None) -> str:
    if cost is None:
        return ""
    return f"{number(cost.mean)} [{number(cost.low)}, {number(cost.high)}] ({cost.objects})"


def _verdicts(found: Sequence[Cost]) -> list[str]:
    """The dearest step by every measure."""
    lines = []
    for measure in MEASURES:
        name = METRICS[measure].title
        if known := [cost for cost in found if cost.measure == measure]:
            worst = max(known, key=_weight)
            lines.append(
                f"- {name}: **{worst.step}** costs most, {number(worst.mean)} "
                f"({number(worst.before)} with it, {number(worst.after)} with the truth)."
            )
    return lines


def _weight(cost: Cost) -> float:
    """What is lost, on a scale on which losses add up: of decibels, which do not, the error of the colours."""
    if cost.measure != "textured_psnr":
        return cost.mean
    return float(10 ** (-cost.before / 20) - 10 ** (-cost.after / 20))


_LEFT, _WIDTH, _ROW = 150.0, 640.0, 20.0


def write_figure(rows: Sequence[Scores], path: Path) -> None:
    """One panel per measure: a bar from what is reached with a stage to what is reached with the truth in its place.

    Raises:
        BadInput: the file cannot be written.
    """
    parts, top = [], 10.0
    found = costs(rows)
    for measure in MEASURES:
        name = METRICS[measure].title
        if known := [cost for cost in found if cost.measure == measure]:
            parts.append(_panel(known, name, top))
            top += _ROW * len(known) + 62
    svg = drawing(_WIDTH, top, parts, "What every stage costs, by several measures")
    write_whole({path: svg.encode()})


def _panel(known: Sequence[Cost], name: str, top: float) -> str:
    scale = Scale.around([value for cost in known for value in (cost.before, cost.after)], _LEFT, _WIDTH - 70)
    first = top + 24
    parts = [words(0.0, top + 12, name, kind="title"), axis(scale, first - 4, first + _ROW * len(known))]
    for row, cost in enumerate(known):
        y, kind = first + row * _ROW, "loss" if cost.mean > 0 else "gain"
        parts.append(words(_LEFT - 8, y + 12, cost.step, anchor="end"))
        parts.append(bar(scale.at(cost.before), scale.at(cost.after), y + 3, 11.0, kind=kind))
        right = max(scale.at(cost.before), scale.at(cost.after))
        parts.append(words(right + 5, y + 12, f"{'-' if cost.mean > 0 else '+'}{number(abs(cost.mean))}", kind="soft"))
    return "".join(parts)
