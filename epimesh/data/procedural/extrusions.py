"""Flat outlines with a thickness: signs, letters, cookies, gears."""

from collections.abc import Callable
from string import ascii_uppercase, digits

import numpy as np

from epimesh.data.procedural.dice import Dice
from epimesh.data.procedural.parts import Part, bounds
from epimesh.data.procedural.shapes import box
from epimesh.data.procedural.solids import Outline, extruded

_ANGLE = np.linspace(0, 2 * np.pi, 48, endpoint=False)


def _polar(radius: np.ndarray) -> Outline:
    angle = np.linspace(0, 2 * np.pi, len(radius), endpoint=False)
    return np.stack([-radius * np.sin(angle), radius * np.cos(angle)], axis=1)


def _blob(dice: Dice) -> list[Outline]:
    radius = np.ones_like(_ANGLE)
    for wave in range(2, 7):
        size = dice.normal(0.22) / wave**0.7
        shift = 0.0 if dice.chance(0.6) else dice.between(0, 2 * np.pi)  # without shift both halves look alike
        radius = radius + size * np.cos(wave * _ANGLE + shift)
    return [_polar(np.maximum(radius, 0.2))]


def _star(dice: Dice) -> list[Outline]:
    return [_polar(np.tile([1.0, dice.between(0.35, 0.7)], dice.count(3, 8)))]


def _gear(dice: Dice) -> list[Outline]:
    low = dice.between(0.75, 0.9)
    return [_polar(np.tile([1.0, 1.0, low, low], dice.count(6, 15)))]


def _polygon(dice: Dice) -> list[Outline]:
    return [_polar(np.ones(dice.count(3, 8))) * [1, dice.between(0.5, 1)]]


def _cross(dice: Dice) -> list[Outline]:
    a = dice.between(0.2, 0.45)
    quarter = np.array([[a, 1.0], [a, a], [1, a]])
    corners = [quarter, (quarter * [1, -1])[::-1], -quarter, (quarter * [-1, 1])[::-1]]
    return [np.concatenate(corners)]


def _arrow(dice: Dice) -> list[Outline]:
    a, b = dice.between(0.15, 0.4), dice.between(-0.2, 0.4)
    return [np.array([[-a, -1], [a, -1], [a, b], [0.8, b], [0, 1], [-0.8, b], [-a, b]])]


def _heart(dice: Dice) -> list[Outline]:
    wave = 13 * np.cos(_ANGLE) - 5 * np.cos(2 * _ANGLE) - 2 * np.cos(3 * _ANGLE) - np.cos(4 * _ANGLE)
    return [np.stack([np.sin(_ANGLE) ** 3, wave / 16], axis=1)]


def _letters(dice: Dice) -> list[Outline]:
    """One or two capital letters or digits, traced from a font."""
    from PIL import Image, ImageDraw, ImageFont
    from skimage.measure import approximate_polygon, find_contours

    word = "".join(dice.choose(ascii_uppercase + digits + "&?") for _ in range(2 if dice.chance(0.25) else 1))
    font = ImageFont.load_default(96)
    picture = Image.new("L", (200, 140))
    ImageDraw.Draw(picture).text((16, 12), word, font=font, fill=255, stroke_width=dice.count(1, 5), stroke_fill=255)
    lines = [approximate_polygon(line, 0.7)[:-1] for line in find_contours(np.asarray(picture) / 255, 0.5)]
    flat = [line[:, ::-1] * [1, -1] / 40 for line in lines if len(line) > 2]
    corners = np.concatenate(flat)
    middle = (corners.min(0) + corners.max(0)) / 2
    return [line - middle for line in flat]


_KINDS: tuple[tuple[Callable[[Dice], list[Outline]], float], ...] = (
    (_blob, 0.3),
    (_star, 0.1),
    (_gear, 0.08),
    (_polygon, 0.1),
    (_cross, 0.06),
    (_arrow, 0.06),
    (_heart, 0.06),
    (_letters, 0.24),
)


def extrusion(dice: Dice) -> list[Part]:
    """An extruded outline, most often standing upright, perhaps with a second layer and a stand."""
    kind = dice.choose([kind for kind, _ in _KINDS], [weight for _, weight in _KINDS])
    outline = kind(dice)
    lines = list(outline)
    if kind is not _letters and dice.chance(0.4):
        lines.append(_polar(np.full(24, dice.between(0.08, 0.3))))
    height = dice.log_between(0.12, 1.6)
    twist = dice.between(-60, 60) if dice.chance(0.2) else 0.0
    top = dice.between(0.3, 0.95) if dice.chance(0.25) else 1.0
    parts = [extruded(lines, height, role="shape", twist_deg=twist, top=top)]
    if dice.chance(0.5):
        layer = extruded([outline[0] * dice.between(1.02, 1.15)], height * dice.between(0.15, 0.4), role="layer")
        parts.append(layer.moved(z=-0.02 if dice.chance(0.5) else height * 0.3))
    if dice.chance(0.7):
        parts = [part.turned("x", np.pi / 2) for part in parts]
    if dice.chance(0.2):
        low, high = bounds(parts)
        width, depth = float(high[0] - low[0]) * dice.between(0.6, 1.2), max(float(high[1] - low[1]), 0.4) * 1.3
        middle = float(low[1] + high[1]) / 2
        parts.append(box(width, depth, 0.15, role="stand").moved(0, middle, float(low[2]) - 0.05))
    return parts
