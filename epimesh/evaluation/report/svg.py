"""Small drawings for reports: scales, bars, dots and words as SVG, readable on light and dark paper."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

STYLE = """
svg.plot{--ink:#222;--soft:#777;--grid:#ddd;--main:#0b6e99;--other:#a8a8a8;--loss:#c2542d;--gain:#3f8f5a;
font:12px system-ui,sans-serif}
@media (prefers-color-scheme:dark){svg.plot{--ink:#e6e6e6;--soft:#a0a0a0;--grid:#3a3a3a;--main:#5cb8de;--other:#777;
--loss:#e88a63;--gain:#7cc795}}
@media print{svg.plot{--ink:#222;--soft:#777;--grid:#ddd;--main:#0b6e99;--other:#a8a8a8;--loss:#c2542d;--gain:#3f8f5a}}
svg.plot text{fill:var(--ink)}svg.plot .soft{fill:var(--soft)}svg.plot .title{font-weight:600;font-size:13px}
svg.plot line{stroke:var(--ink)}svg.plot .grid{stroke:var(--grid)}svg.plot .main{fill:var(--main);stroke:var(--main)}
svg.plot .other{fill:var(--other);stroke:var(--other)}svg.plot .loss{fill:var(--loss)}svg.plot .gain{fill:var(--gain)}
svg.plot circle{stroke:none;fill-opacity:.55}svg.plot polyline{fill:none!important;stroke-width:2.5}
"""


@dataclass(frozen=True)
class Scale:
    """Where values stand across a drawing.

    Args:
        low: the value at the left end.
        high: the value at the right end; more than `low`.
        left: position of the left end, in pixels.
        right: position of the right end.
    """

    low: float
    high: float
    left: float
    right: float

    @classmethod
    def around(cls, values: Sequence[float], left: float, right: float) -> "Scale":
        """A scale that holds all values, with a little space at both ends."""
        low, high = min(values), max(values)
        space = 0.04 * (high - low) or max(abs(low), 1e-3) * 0.1
        return cls(low - space, high + space, left, right)

    def at(self, value: float) -> float:
        """The position of a value."""
        return self.left + (value - self.low) / (self.high - self.low) * (self.right - self.left)

    def ticks(self) -> list[float]:
        """Four to ten round values between the ends."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** floor(log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
        first = -floor(-self.low / step)
        return [number * step for number in range(first, floor(self.high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """Three digits or so, without a needless zero in front: 0, .0123, .123, 1.23, 12.3."""
    size = abs(value)
    if size == 0:
        return "0"
    digits = 4 if size < 0.1 else 3 if size < 1 else 2 if size < 10 else 1
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if size < 1 else text


def words(x: float, y: float, text: str, *, kind: str = "", anchor: str = "start") -> str:
    """A line of text; `y` is its baseline."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, *, kind: str = "") -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def bar(x1: float, x2: float, y: float, height: float, *, kind: str) -> str:
    """A bar between two positions, in either order; never thinner than a pixel."""
    left, width = min(x1, x2), max(abs(x2 - x1), 1)
    return f'<rect x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="{kind}"/>'


def dot(x: float, y: float, *, kind: str, name: str) -> str:
    """A dot that says its name when it is pointed at."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="{kind}"><title>{escape(name)}</title></circle>'


def curve(points: Sequence[tuple[float, float]], *, kind: str) -> str:
    """A line through positions."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" class="{kind}"/>'


def axis(scale: Scale, top: float, bottom: float) -> str:
    """Vertical lines at round values, and these values below."""
    parts = []
    for tick in scale.ticks():
        parts.append(line(scale.at(tick), top, scale.at(tick), bottom, kind="grid"))
        parts.append(words(scale.at(tick), bottom + 14, f"{tick:.4g}", kind="soft", anchor="middle"))
    return "".join(parts)


def drawing(width: float, height: float, parts: Sequence[str], what: str) -> str:
    """A whole SVG that brings its own style; `what` tells people who cannot see it what it shows."""
    return (
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{escape(what)}">'
        f"<style>{STYLE}</style>{''.join(parts)}</svg>"
    )
