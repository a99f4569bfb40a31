"""Legs of furniture."""

from dataclasses import replace
from itertools import pairwise

import numpy as np

from epimesh.data.procedural.dice import Dice, Number
from epimesh.data.procedural.parts import Part, both_sides
from epimesh.data.procedural.shapes import Section, box, cylinder, lathe
from epimesh.data.procedural.sweeps import spline, tube

STYLES = ("box", "round", "turned", "sled", "panel", "pedestal", "crossed")


def legs(dice: Dice, size: tuple[Number, Number, Number], *, role: str, style: str | None = None) -> list[Part]:
    """What carries a seat or a top of size (width, depth) at a height, standing on z = 0."""
    width, depth, height = size
    style = style or dice.choose(STYLES)
    thick = min(dice.log_between(0.025, 0.09), width / 4, depth / 4)
    x, y = width / 2 - thick, depth / 2 - thick
    if style == "sled":
        turns = [[x, y, height], [x, y, 0], [x, -y, 0], [x, -y, height]]
        path = np.concatenate([np.linspace(a, b, 5) for a, b in pairwise(turns)])
        return both_sides([tube(np.array(path, dtype=float), thick * 0.4, role=role, sides=6)])
    if style == "panel":
        return both_sides([box(thick, depth * 0.95, height, role=role).moved(x, 0, height / 2)])
    if style == "pedestal":
        return _pedestal(dice, size, thick, role)
    if style == "crossed":
        paths = [np.array([[q * x, y, height], [-q * x, y * 0.98, 0]]) for q in (-1, 1)]
        return both_sides([tube(path, thick * 0.5, role=role, sides=6) for path in paths], axis=1)
    return _four(dice, (x, y, height), thick, role=role, style=style)


def _four(dice: Dice, corner: tuple[Number, Number, Number], thick: Number, *, role: str, style: str) -> list[Part]:
    x, y, height = corner
    splay = dice.between(0, 0.12)
    if style == "turned":
        curve = spline(np.stack([np.array([0.6, 0.9, 0.7, 1.1, 1.0]) * thick, np.linspace(0, height, 5)], axis=1), 12)
        profile = np.concatenate([[[0, 0]], np.maximum(curve, [0.01, 0]), [[0, height]]])
        leg = lathe(profile, role=role, section=Section(segments=10))
    elif style == "round":
        leg = cylinder(thick * 0.5, height, role=role, top=thick * 0.8, section=Section(segments=10))
    else:
        leg = box(thick, thick, height, role=role).moved(z=height / 2)
    down = 1 - leg.vertices[:, 2:] / height  # legs lean outwards towards their feet
    lean = np.concatenate([x + splay * down, y + splay * down, np.zeros_like(down)], axis=1)
    parts = both_sides(both_sides([replace(leg, vertices=leg.vertices + lean)]), axis=1)
    if dice.chance(0.3):
        z, thin = height * dice.between(0.2, 0.5), thick * 0.6
        parts += both_sides([box(2 * x, thin, thin, role=role).moved(0, y, z)], axis=1)
        parts += both_sides([box(thin, 2 * y, thin, role=role).moved(x, 0, z)])
    return parts


def _pedestal(dice: Dice, size: tuple[Number, Number, Number], thick: Number, role: str) -> list[Part]:
    width, depth, height = size
    column = cylinder(thick * 0.65, height, role=role, section=Section(segments=12))
    if dice.chance(0.5):
        return [column, cylinder(min(width, depth) * 0.35, thick * 0.6, role=role)]
    foot = box(0.42 * width, thick * 0.7, thick * 0.5, role=role).moved(0.2 * width, 0, thick * 0.3)
    return [column, *(foot.turned("z", angle) for angle in np.arange(5) * (2 * np.pi / 5))]
