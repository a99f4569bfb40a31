"""Tables of how costs grow, and their exponents: the slopes of lines through points of logarithms."""

from collections.abc import Mapping, Sequence
from math import log

import numpy as np
from growth_costs import Cost, PhotoCost

LEAST_BYTES = 2_000_000  # below it what a stage takes is told, but has no exponent
Curve = Mapping[int, Mapping[str, Cost]]  # costs of all stages by what grows


def curve_table(title: str, curve: Curve) -> str:
    """A line per point, then the exponents: through all points, and of the last step alone."""
    sizes, stages = list(curve), list(next(iter(curve.values())))
    lines = [f"| {title} | {' | '.join(stages)} | GB in all |", "|---" * (len(stages) + 2) + "|"]
    for size, costs in curve.items():
        cells = " | ".join(_cell(costs[stage]) for stage in stages)
        peak = max(cost.peak for cost in costs.values())
        lines.append(f"| {size} | {cells} | {peak / 1e9:.2f} |")
    for name, picked in (("time", lambda cost: cost.cpu), ("memory", lambda cost: cost.extra)):
        for said, last in (("all points", False), ("last step", True)):
            cells = []
            for stage in stages:
                values = [picked(curve[size][stage]) for size in sizes]
                told = name == "time" or min(values[-2:] if last else values) > LEAST_BYTES
                cells.append(f"{exponent(sizes, values, last=last):.2f}" if told else "")
            lines.append(f"| exponent of {name}, {said} | {' | '.join(cells)} | |")
    return "\n".join(lines)


def _cell(cost: Cost) -> str:
    return f"{cost.cpu:.2f} s ({cost.wall:.2f}), {cost.extra / 1e6:.0f} MB"


def exponent(sizes: Sequence[float], values: Sequence[float], *, last: bool) -> float:
    """The power of the size with which a value grows: by least squares, or between the last two points."""
    if last:
        return log(values[-1] / values[-2]) / log(sizes[-1] / sizes[-2])
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def photo_table(names: Sequence[str], costs: Sequence[PhotoCost]) -> str:
    """A line per photo."""
    lines = ["| photo | CPU s (wall) | GB at its peak | GB held afterwards |", "|---|---|---|---|"]
    for index, (name, cost) in enumerate(zip(names, costs, strict=True)):
        memory = f"{cost.peak / 1e9:.2f} | {cost.held / 1e9:.2f}"
        lines.append(f"| {index + 1}, {name} | {cost.cpu:.1f} ({cost.wall:.1f}) | {memory} |")
    return "\n".join(lines)
