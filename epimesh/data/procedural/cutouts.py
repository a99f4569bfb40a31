"""Solids with pieces cut out of them."""

import numpy as np

from epimesh.data.procedural.dice import Dice
from epimesh.data.procedural.parts import Part
from epimesh.data.procedural.primitives import solid
from epimesh.data.procedural.shapes import box, cylinder, ellipsoid, superquadric
from epimesh.data.procedural.solids import without


def cutout(dice: Dice) -> list[Part]:
    """A box, cylinder or rounded body, hollowed or pierced."""
    kind = dice.choose(("box", "cylinder", "rounded"))
    body = _body(dice, kind)
    cutters = [_hollow(body, kind)] if dice.chance(0.45) else []
    for _ in range(dice.count(1, 3)):
        cutters += _piercing(dice, body)
    parts = [without(body, cutters)]
    if dice.chance(0.4):
        parts.append(solid(dice, "top").scaled(0.5, 0.5, 0.5).moved(z=float(body.high[2])))
    return parts


def _body(dice: Dice, kind: str) -> Part:
    if kind == "box":
        return box(dice.log_between(0.3, 1), dice.log_between(0.3, 1), dice.log_between(0.2, 1), role="body")
    if kind == "cylinder":
        height = dice.log_between(0.2, 1)
        return cylinder(dice.between(0.3, 0.5), height, role="body").moved(z=-height / 2)
    half = (0.5, dice.log_between(0.3, 0.5), dice.log_between(0.3, 0.6))
    return superquadric(half, (0.3, 0.4), role="body")


def _hollow(body: Part, kind: str) -> Part:
    """The inside of a vessel, open at the top."""
    width, depth, height = (body.high - body.low).tolist()
    if kind == "box":
        return box(width * 0.86, depth * 0.86, height, role="cut").moved(z=height * 0.1)
    return cylinder(min(width, depth) * 0.42, height, role="cut").moved(z=float(body.low[2]) + height * 0.1)


def _piercing(dice: Dice, body: Part) -> list[Part]:
    size = body.high - body.low
    wide = dice.between(0.12, 0.35) * float(size.max())
    kind = dice.choose(("rod", "slot", "ball"))
    if kind == "rod":
        cutter = cylinder(wide * 0.6, 3, role="cut").moved(z=-1.5)
        cutter = cutter.turned(dice.choose(("x", "y")), np.pi / 2 * dice.count(0, 1))
    elif kind == "slot":
        cutter = box(wide, 3, wide, role="cut")
    else:
        cutter = ellipsoid((wide, wide, wide), role="cut")
    x, y, z = (dice.vector(-0.5, 0.5) * size).tolist()
    x = 0.0 if dice.chance(0.5) else x
    cutter = cutter.moved(x, y, z)
    return [cutter, cutter.mirrored()] if abs(x) > 0.05 and dice.chance(0.7) else [cutter]
