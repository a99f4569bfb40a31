"""Things with a handle."""

import numpy as np

from epimesh.data.procedural.dice import Dice, Number
from epimesh.data.procedural.parts import Part
from epimesh.data.procedural.shapes import Section, box, cylinder, lathe
from epimesh.data.procedural.solids import extruded
from epimesh.data.procedural.sweeps import ring, spline


def tool(dice: Dice) -> list[Part]:
    """A hammer, pan, knife, ...; most often lying down."""
    length, thick = dice.between(0.6, 1), dice.log_between(0.025, 0.07)
    curve = np.stack([thick * dice.random.uniform(0.75, 1.15, 5), np.linspace(0, length, 5)], axis=1)
    profile = np.concatenate([[[0, 0]], np.maximum(spline(curve, 14), [0.01, 0]), [[0, length]]])
    handle = lathe(profile, role="handle", section=Section(segments=14, width=dice.between(0.6, 1)))
    kind = dice.choose((_hammer, _driver, _brush, _axe, _knife, _magnifier, _wrench, _pan, _pen))
    parts = [handle, *(part.moved(z=length) for part in kind(dice, thick, length))]
    if kind is _pan or dice.chance(0.75):
        parts = [part.turned("x", -np.pi / 2) for part in parts]
    return parts


def _blade(outline: list[tuple[Number, Number]], thick: Number) -> Part:
    """A flat piece in the x-z plane; the outline is (x, z)."""
    return extruded([np.array(outline)], thick, role="metal").moved(z=-thick / 2).turned("x", np.pi / 2)


def _hammer(dice: Dice, thick: Number, length: Number) -> list[Part]:
    half = dice.between(0.12, 0.3)
    if dice.chance(0.5):
        return [box(0.12, half * 2, 0.12, role="metal")]
    return [cylinder(dice.between(0.05, 0.1), half * 2, role="metal", bevel=0.1).moved(z=-half).turned("x", np.pi / 2)]


def _driver(dice: Dice, thick: Number, length: Number) -> list[Part]:
    shaft = cylinder(thick * 0.35, length * 0.8, role="metal", section=Section(segments=8))
    return [shaft, box(thick * 0.9, thick * 0.2, 0.08, role="metal").moved(z=length * 0.82)]


def _brush(dice: Dice, thick: Number, length: Number) -> list[Part]:
    width, bristles = dice.between(0.1, 0.3), dice.between(0.1, 0.25)
    return [
        box(width, 0.07, 0.12, role="metal").moved(z=0.05),
        box(width * 0.95, 0.05, bristles, role="bristles").moved(z=0.1 + bristles / 2),
    ]


def _axe(dice: Dice, thick: Number, length: Number) -> list[Part]:
    outline = [(-0.04, -0.08), (0.12, -0.1), (0.3, -0.22), (0.34, 0.0), (0.3, 0.2), (0.12, 0.08), (-0.04, 0.08)]
    return [_blade(outline, 0.05).moved(z=-0.1)]


def _knife(dice: Dice, thick: Number, length: Number) -> list[Part]:
    return [_blade([(-0.05, 0), (0.05, 0), (0.07, 0.3), (0.04, 0.65), (-0.05, 0.8)], 0.015)]


def _magnifier(dice: Dice, thick: Number, length: Number) -> list[Part]:
    radius = dice.between(0.2, 0.35)
    lens = cylinder(radius * 0.97, 0.02, role="glass").moved(z=-0.01)
    return [part.turned("x", np.pi / 2).moved(z=radius) for part in (ring(radius, thick * 0.8, role="metal"), lens)]


def _wrench(dice: Dice, thick: Number, length: Number) -> list[Part]:
    angle = np.linspace(0.5, 5.8, 24) + np.pi / 2
    corner = np.linspace(5.8, 0.5, 12) + np.pi / 2
    jaw = np.concatenate([0.14 * _circle(angle), 0.07 * _circle(corner)])
    return [_blade([(float(x), float(z)) for x, z in jaw], 0.06).moved(z=0.1)]


def _circle(angle: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _pan(dice: Dice, thick: Number, length: Number) -> list[Part]:
    radius, depth = dice.between(0.3, 0.5), dice.between(0.08, 0.3)
    outside = [(0, 0), (radius * 0.85, 0), (radius, depth), (radius * 0.97, depth)]
    dish = lathe(np.array([*outside, (radius * 0.83, 0.02), (0, 0.02)]), role="metal")
    return [dish.moved(z=-depth).turned("x", np.pi / 2).moved(z=radius)]


def _pen(dice: Dice, thick: Number, length: Number) -> list[Part]:
    section = Section(segments=14)
    tip = cylinder(thick, 0.12, role="metal", top=0.005, section=section)
    return [tip, cylinder(thick * 1.1, length * 0.4, role="cap", section=section).moved(z=-length * 1.02)]
