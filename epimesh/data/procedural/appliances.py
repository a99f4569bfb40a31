"""Machines: a body with panels, knobs and doors on its front."""

from dataclasses import dataclass

import numpy as np

from epimesh.data.procedural.dice import Dice, Number
from epimesh.data.procedural.parts import Part, both_sides
from epimesh.data.procedural.shapes import Section, box, cylinder, superquadric
from epimesh.data.procedural.sweeps import arc, tube


@dataclass(frozen=True)
class _Front:
    """The front side of a body of this size, around the origin."""

    width: Number
    depth: Number
    height: Number

    def panel(
        self, place: tuple[Number, Number], size: tuple[Number, Number], *, role: str, thick: Number = 0.03
    ) -> Part:
        """A plate; place and size are shares of the front (x, z)."""
        plate = box(size[0] * self.width, thick, size[1] * self.height, role=role, fitted=True)
        return plate.moved(place[0] * self.width, -self.depth / 2 - 0.002, place[1] * self.height)

    def disc(self, place: tuple[Number, Number], radius: Number, *, role: str, thick: Number = 0.04) -> Part:
        """A round plate or knob; its place is a share of the front, its radius in scene units."""
        plate = cylinder(radius, 2 * thick, role=role, bevel=0.2, section=Section(segments=20))
        plate = plate.moved(z=-thick).turned("x", np.pi / 2)
        return plate.moved(place[0] * self.width, -self.depth / 2, place[1] * self.height)


def appliance(dice: Dice) -> list[Part]:
    """A household machine."""
    front = _Front(dice.log_between(0.35, 1.2), dice.log_between(0.15, 0.8), dice.log_between(0.15, 1.3))
    kinds = (_television, _oven, _radio, _speaker, _fridge, _washer, _device)
    kind = dice.choose(kinds, (1, 1, 1, 1, 1, 1, 2))
    if kind is _television:
        return _television(dice, front)
    parts = [_body(dice, front), *kind(dice, front)]
    if dice.chance(0.4):
        foot = cylinder(0.03, 0.06, role="feet", section=Section(segments=8))
        foot = foot.moved(front.width * 0.4, front.depth * 0.4, -front.height / 2 - 0.05)
        parts += both_sides(both_sides([foot]), axis=1)
    return parts


def _body(dice: Dice, front: _Front) -> Part:
    if dice.chance(0.5):
        return box(front.width, front.depth, front.height, role="body")
    exponents = (dice.log_between(0.08, 0.2), dice.log_between(0.08, 0.2))
    return superquadric((front.width / 2, front.depth / 2, front.height / 2), exponents, role="body")


def _television(dice: Dice, front: _Front) -> list[Part]:
    thin = _Front(front.width, 0.26 if dice.chance(0.3) else 0.06, min(front.height, front.width * 0.8))
    return [
        box(thin.width, thin.depth, thin.height, role="body"),
        thin.panel((0, 0), (0.92, 0.88), role="screen", thick=0.015),
        box(0.06, 0.05, thin.height * 0.3, role="body").moved(z=-thin.height * 0.6),
        box(thin.width * 0.4, 0.25, 0.03, role="body").moved(z=-thin.height * 0.75),
    ]


def _oven(dice: Dice, front: _Front) -> list[Part]:
    left = -0.1 if dice.chance(0.5) else 0.0
    bar = np.array([[-0.3 * front.width, 0, 0], [0.3 * front.width, 0, 0]])
    bar = bar + np.array([left * front.width, -front.depth / 2 - 0.05, front.height * 0.27])
    knobs = [front.disc((x, 0.4), 0.03, role="knobs") for x in np.linspace(-0.4, 0.4, dice.count(2, 5))]
    window = front.panel((left, -0.08), (0.7, 0.6), role="window")
    return [window, front.panel((0, 0.4), (0.95, 0.12), role="panel"), tube(bar, 0.02, role="knobs"), *knobs]


def _radio(dice: Dice, front: _Front) -> list[Part]:
    radius = min(front.width, front.height) * 0.22
    parts = [front.disc((x, -0.1), radius, role="cloth", thick=0.02) for x in (-0.25, 0.25)]
    parts += [front.panel((0, 0.3), (0.6, 0.15), role="panel")]
    parts += [front.disc((x, 0.3), radius * 0.25, role="knobs") for x in (-0.4, 0.4)]
    if dice.chance(0.5):
        path = arc(1.0, count=12) * [front.width * 0.4, 1, 0.15] + [0, 0, front.height / 2]
        parts.append(tube(path, 0.02, role="knobs"))
    return parts


def _speaker(dice: Dice, front: _Front) -> list[Part]:
    count = dice.count(1, 3)
    radius = min(front.width * 0.4, front.height * 0.4 / count)
    levels = (np.arange(count) + 0.5) / count - 0.5
    parts = []
    for level, size in zip(levels, np.linspace(1, dice.between(0.4, 1), count), strict=True):
        parts += [front.disc((0, level), radius * size, role="cone", thick=0.02)]
        parts += [front.disc((0, level), radius * size * 0.4, role="dome", thick=0.035)]
    return parts


def _fridge(dice: Dice, front: _Front) -> list[Part]:
    share = dice.between(0.2, 0.6)
    parts = [
        front.panel((0, -0.5 + share / 2), (0.97, share - 0.02), role="doors", thick=0.05),
        front.panel((0, share / 2), (0.97, 1 - share - 0.02), role="doors", thick=0.05),
    ]
    for side in (-1, 1):
        grip = box(0.03, 0.05, front.height * 0.15, role="grips")
        z = front.height * (share - 0.5 + side * 0.12)
        parts.append(grip.moved(front.width * 0.4, -front.depth / 2 - 0.05, z))
    return parts


def _washer(dice: Dice, front: _Front) -> list[Part]:
    radius = min(front.width, front.height) * 0.32
    return [
        front.disc((0, -0.08), radius, role="rim"),
        front.disc((0, -0.08), radius * 0.75, role="glass", thick=0.06),
        front.panel((0, 0.4), (0.95, 0.13), role="panel"),
        front.disc((dice.between(-0.4, 0.4), 0.4), 0.04, role="rim"),
    ]


def _device(dice: Dice, front: _Front) -> list[Part]:
    parts = []
    for _ in range(dice.count(2, 8)):
        width, height = dice.between(0.05, 0.5), dice.between(0.05, 0.4)
        place = (dice.between(-0.5, 0.5) * (1 - width), dice.between(-0.5, 0.5) * (1 - height))
        role, thick = f"panel {dice.count(1, 4)}", dice.between(0.01, 0.08)
        parts.append(front.panel(place, (width, height), role=role, thick=thick))
    if dice.chance(0.5):
        width, depth = front.width * dice.between(0.3, 0.9), front.depth * dice.between(0.3, 0.8)
        top = box(width, depth, dice.between(0.02, 0.1), role="panel 1", fitted=True)
        parts.append(top.moved(z=front.height / 2))
    return parts
