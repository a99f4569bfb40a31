"""Curves of CPU seconds, one panel per thing that grows; both axes are logarithms. Less than .1 s is drawn as .1 s."""

from collections.abc import Mapping
from math import log10

from growth_tables import Curve

from epimesh.evaluation.report.svg import Scale, curve, drawing, line, words

PANEL, HEIGHT, LEFT, TOP, LABEL = 250.0, 250.0, 44.0, 24.0, 52.0
DECADES = (0.1, 1.0, 10.0, 100.0)


def figure(curves: Mapping[str, Curve]) -> str:
    """All panels side by side, on one scale of seconds."""
    seconds = [cost.cpu for sizes in curves.values() for costs in sizes.values() for cost in costs.values()]
    up = Scale.around([log10(max(one, DECADES[0])) for one in seconds], HEIGHT - 30, TOP + 6)
    parts = []
    for column, (title, sizes) in enumerate(curves.items()):
        parts += _panel(title, sizes, up, column * PANEL, with_seconds=column == 0)
    return drawing(PANEL * len(curves), HEIGHT, parts, "CPU seconds of every stage, by what grows")


def _panel(title: str, sizes: Curve, up: Scale, start: float, *, with_seconds: bool) -> list[str]:
    across = Scale.around([log10(size) for size in sizes], start + LEFT, start + PANEL - LABEL)
    parts = [words(start + LEFT, 12, title, kind="title")]
    for tick in [log10(one) for one in DECADES if up.low <= log10(one) <= up.high]:
        parts.append(line(across.left, up.at(tick), across.right, up.at(tick), kind="grid"))
        said = f"{10**tick:g} s" if with_seconds else f"{10**tick:g}"
        parts.append(words(across.left - 6, up.at(tick) + 4, said, kind="soft", anchor="end"))
    for size in list(sizes)[:: 1 + len(sizes) // 6]:
        parts.append(words(across.at(log10(size)), HEIGHT - 8, _short(size), kind="soft", anchor="middle"))
    ends: list[float] = []
    for stage in next(iter(sizes.values())):
        places = [
            (across.at(log10(size)), up.at(log10(max(costs[stage].cpu, DECADES[0])))) for size, costs in sizes.items()
        ]
        parts.append(curve(places, kind="main" if stage == "NeuS" else "other"))
        y = places[-1][1] + 4
        while any(abs(y - other) < 12 for other in ends):  # labels do not lie on each other
            y += 3
        ends.append(y)
        parts.append(words(places[-1][0] + 6, y, stage))
    return parts


def _short(size: int) -> str:
    return f"{size / 1000:g}k" if size >= 2000 else str(size)
