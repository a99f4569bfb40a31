"""Small houses and towers."""

import numpy as np

from epimesh.data.procedural.dice import Dice, Number
from epimesh.data.procedural.parts import Part, both_sides
from epimesh.data.procedural.shapes import Section, box, cylinder, lathe
from epimesh.data.procedural.solids import extruded


def building(dice: Dice) -> list[Part]:
    """A box with a roof, windows and a door."""
    width, depth, height = dice.between(0.5, 1), dice.between(0.5, 1), dice.between(0.3, 1.6)
    parts = [box(width, depth, height, role="walls").moved(z=height / 2)]
    parts += [_roof(dice, width, depth).moved(z=height)]
    parts += _windows(width, depth, height)
    parts.append(box(0.14, 0.03, 0.22, role="door", fitted=True).moved(0, -depth / 2, 0.11))
    if dice.chance(0.4):
        parts.append(box(0.1, 0.1, 0.35, role="chimney").moved(width * 0.25, depth * 0.2, height + 0.15))
    if dice.chance(0.3):
        tower = cylinder(dice.between(0.1, 0.25), height * dice.between(0.8, 1.6), role="walls")
        parts.append(tower.moved(width / 2, depth / 2))
    return parts


def _roof(dice: Dice, width: Number, depth: Number) -> Part:
    kind = dice.choose(("gable", "pyramid", "flat"), (0.6, 0.2, 0.2))
    if kind == "gable":
        outline = np.array([[-width * 0.58, 0], [width * 0.58, 0], [0, dice.between(0.15, 0.5)]])
        return extruded([outline], depth * 1.12, role="roof").turned("x", np.pi / 2).moved(y=depth * 0.56)
    if kind == "pyramid":
        profile = np.array([(0, 0), (0.75, 0), (0, dice.between(0.2, 0.8))])
        section = Section(segments=4)
        return lathe(profile, role="roof", section=section).turned("z", np.pi / 4).scaled(width, depth, 1)
    return box(width * 1.06, depth * 1.06, 0.05, role="roof").moved(z=0.025)


def _windows(width: Number, depth: Number, height: Number) -> list[Part]:
    """A grid of windows on all four walls."""
    floors = max(1, int(height / 0.25))
    levels = (np.arange(floors) + 0.55) * height / floors
    parts = []
    for x in np.linspace(-width / 2, width / 2, max(1, int(width / 0.2)) + 2)[1:-1]:
        parts += [box(0.1, 0.02, 0.13, role="windows").moved(x, depth / 2, z) for z in levels]
    sides = []
    for y in np.linspace(-depth / 2, depth / 2, max(1, int(depth / 0.25)) + 2)[1:-1]:
        sides += [box(0.02, 0.1, 0.13, role="windows").moved(width / 2, y, z) for z in levels]
    return both_sides(parts, axis=1) + both_sides(sides)
