"""Things of rods: baskets, cages, racks, frames, ladders, springs."""

import numpy as np

from epimesh.data.procedural.dice import Dice, Number
from epimesh.data.procedural.parts import Part, both_sides
from epimesh.data.procedural.shapes import Section, box, cylinder
from epimesh.data.procedural.sweeps import arc, tube


def wire(dice: Dice) -> list[Part]:
    """Something one can look through."""
    kind = dice.choose((_basket, _cage, _rack, _frame, _ladder, _spring))
    return kind(dice, dice.log_between(0.008, 0.035))


def _basket(dice: Dice, thick: Number) -> list[Part]:
    return _woven(dice, thick, dome=0.0)


def _cage(dice: Dice, thick: Number) -> list[Part]:
    return _woven(dice, thick, dome=0.9)


def _woven(dice: Dice, thick: Number, *, dome: Number) -> list[Part]:
    """Rings and uprights; `dome` closes the top."""
    radius, height = dice.between(0.35, 0.6), dice.between(0.3, 1.2)
    flare, section = dice.between(0.7, 1.2), Section(exponent=dice.log_between(2, 7))

    def wall(angle: np.ndarray, z: np.ndarray) -> np.ndarray:
        share = z / height
        reach = (
            radius * (1 + (flare - 1) * share) * np.sqrt(np.clip(1 - dome * share**3, 0.05, 1)) * section.radius(angle)
        )
        return np.stack([reach * np.cos(angle), reach * np.sin(angle), z], axis=1)

    around = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    levels = np.linspace(0, height, dice.count(3, 6))
    parts = [tube(wall(around, np.full(36, z)), thick * 1.3, role="wire", sides=6, closed=True) for z in levels]
    upwards = np.linspace(0, height, 6)
    for angle in np.arange(count := dice.count(8, 23)) * (2 * np.pi / count):
        parts.append(tube(wall(np.full(6, angle), upwards), thick, role="wire", sides=5))
    parts.append(cylinder(radius * 0.98, 0.02, role="floor", section=section))
    if dice.chance(0.3):
        top = wall(np.zeros(1), np.array([height]))[0, 0]
        path = arc(1.0) * [top, 1, radius * dice.between(0.5, 1)] + [0, 0, height]
        parts.append(tube(path, thick * 1.5, role="handle", sides=6))
    return parts


def _rack(dice: Dice, thick: Number) -> list[Part]:
    return _posts(dice, thick, shelves=True)


def _frame(dice: Dice, thick: Number) -> list[Part]:
    return _posts(dice, thick, shelves=False)


def _posts(dice: Dice, thick: Number, *, shelves: bool) -> list[Part]:
    width, depth, height = dice.between(0.4, 1), dice.between(0.2, 0.8), dice.between(0.4, 1.4)
    post = cylinder(thick, height, role="wire", section=Section(segments=8)).moved(width / 2, depth / 2)
    parts = both_sides(both_sides([post]), axis=1)
    bar, solid = thick * 1.6, dice.chance(0.5)
    slats = np.linspace(-width / 2, width / 2, dice.count(5, 13))
    for z in np.linspace(height * 0.1, height, dice.count(2, 5)):
        parts += both_sides([box(width, bar, bar, role="wire").moved(0, depth / 2, z)], axis=1)
        parts += both_sides([box(bar, depth, bar, role="wire").moved(width / 2, 0, z)])
        if shelves and solid:
            parts.append(box(width, depth, 0.02, role="floor").moved(z=z))
        elif shelves:
            parts += [box(thick * 0.8, depth, thick * 0.8, role="wire").moved(x, 0, z) for x in slats]
    return parts


def _ladder(dice: Dice, thick: Number) -> list[Part]:
    width, height, spread = dice.between(0.3, 0.5), 1.3, dice.between(0.15, 0.45)
    legs = [np.array([[width / 2, 0, height], [width * 0.6, side * spread, 0]]) for side in (-1, 1)]
    parts = both_sides([tube(leg, thick * 1.4, role="wire", sides=6) for leg in legs])
    for z in np.linspace(0.2, height - 0.05, dice.count(3, 6)):
        parts.append(box(width * 1.1, 0.08, 0.025, role="steps").moved(0, -spread * (1 - z / height), z))
    return parts


def _spring(dice: Dice, thick: Number) -> list[Part]:
    turns = dice.count(3, 8)
    angle = np.linspace(0, 2 * np.pi * turns, turns * 16)
    radius = dice.between(0.2, 0.5) * np.linspace(1, dice.between(0.3, 1.2), len(angle))
    path = np.stack(
        [radius * np.cos(angle), radius * np.sin(angle), angle / (2 * np.pi) * dice.between(0.1, 0.25)], axis=1
    )
    parts = [tube(path, thick * 2, role="wire")]
    if dice.chance(0.6):
        parts.append(cylinder(float(radius[0]) * dice.between(0.6, 1.1), 0.06, role="floor"))
    return parts
