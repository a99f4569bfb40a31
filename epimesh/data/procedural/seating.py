"""Chairs, stools, benches, sofas and beds."""

import numpy as np

from epimesh.data.procedural.dice import Dice, Number
from epimesh.data.procedural.legs import legs
from epimesh.data.procedural.parts import Part, both_sides
from epimesh.data.procedural.shapes import Section, box, cylinder, superquadric


def chair(dice: Dice) -> list[Part]:
    """A seat with a back, sometimes with arms."""
    parts, (width, depth, top) = _seat(dice, dice.between(0.4, 0.6), dice.between(0.35, 0.6))
    return parts + _back(dice, width, depth, top)


def stool(dice: Dice) -> list[Part]:
    """A seat without a back."""
    return _seat(dice, dice.between(0.3, 0.55), dice.between(0.35, 0.8))[0]


def bench(dice: Dice) -> list[Part]:
    """A seat for several people."""
    parts, (width, depth, top) = _seat(dice, dice.between(0.8, 1.7), dice.between(0.35, 0.55))
    return parts + (_back(dice, width, depth, top) if dice.chance(0.5) else [])


def _seat(dice: Dice, width: Number, height: Number) -> tuple[list[Part], tuple[Number, Number, Number]]:
    depth, thick = dice.between(0.4, 0.55), dice.log_between(0.03, 0.12)
    kind = dice.choose(("round", "board", "cushion"), (0.2, 0.4, 0.4) if width < 0.7 else (0.0, 0.5, 0.5))
    if kind == "round":
        seat, footing = cylinder(width / 2, thick, role="seat", bevel=0.3), (width * 0.72, width * 0.72)
        depth = width
    elif kind == "board":
        seat, footing = box(width, depth, thick, role="seat").moved(z=thick / 2), (width * 0.97, depth * 0.97)
    else:
        exponents = (dice.between(0.25, 0.5), dice.between(0.15, 0.4))
        seat = superquadric((width / 2, depth / 2, thick * 0.75), exponents, role="seat").moved(z=thick / 2)
        footing = (width * 0.9, depth * 0.9)
    return [*legs(dice, (*footing, height), role="legs"), seat.moved(z=height)], (width, depth, height + thick * 0.8)


def _back(dice: Dice, width: Number, depth: Number, top: Number) -> list[Part]:
    height, thick = dice.between(0.3, 0.7), dice.between(0.02, 0.06)
    style = dice.choose(("panel", "slats", "bars", "round"))
    if style == "panel":
        role = dice.choose(("seat", "back"))
        parts = [
            box(width * dice.between(0.8, 1), thick, height * dice.between(0.5, 0.8), role=role).moved(z=height * 0.6)
        ]
    elif style == "slats":
        count = dice.count(2, 5)
        slat = box(width, thick, height * 0.6 / count, role="back")
        parts = [slat.moved(z=height * (i + 0.7) / count) for i in range(count)]
    elif style == "bars":
        bar = cylinder(thick * 0.35, height, role="legs", section=Section(segments=6))
        parts = [bar.moved(x) for x in np.linspace(-width * 0.42, width * 0.42, dice.count(3, 7))]
        parts.append(box(width, thick * 1.4, height * 0.15, role="legs").moved(z=height))
    else:
        parts = [superquadric((width * 0.5, thick, height * 0.45), (0.6, 0.8), role="seat").moved(z=height * 0.55)]
    if style in ("panel", "slats"):
        parts += both_sides([box(thick, thick, height, role="legs").moved(width * 0.45, 0, height / 2)])
    tilt = -dice.between(0, 0.25)
    parts = [part.turned("x", tilt).moved(0, depth / 2 - 0.02, top) for part in parts]
    return parts + (_arms(dice, width, depth, top) if dice.chance(0.35) else [])


def _arms(dice: Dice, width: Number, depth: Number, top: Number) -> list[Part]:
    height = dice.between(0.15, 0.25)
    rest = box(0.05, depth * 0.9, 0.04, role="legs").moved(width / 2, 0, top + height)
    post = box(0.04, 0.04, height, role="legs").moved(width / 2, -depth * 0.35, top + height / 2)
    return both_sides([rest, post])


def _soft(dice: Dice, width: Number, depth: Number, height: Number, *, role: str) -> Part:
    exponents = (dice.between(0.12, 0.4), dice.between(0.12, 0.3))
    return superquadric((width / 2, depth / 2, height / 2), exponents, role=role, steps=12)


def sofa(dice: Dice) -> list[Part]:
    """An armchair or sofa with cushions."""
    width, depth, arm = dice.between(0.7, 2.2), dice.between(0.7, 0.95), dice.between(0.08, 0.25)
    seat, back, lift = dice.between(0.3, 0.45), dice.between(0.35, 0.6), dice.between(0.03, 0.12)
    parts = [
        _soft(dice, width, depth, seat, role="cover").moved(z=lift + seat / 2),
        _soft(dice, width, arm + 0.05, seat + back, role="cover").moved(
            0, depth / 2 - arm / 2, lift + (seat + back) / 2
        ),
    ]
    if dice.chance(0.85):
        tall = seat + dice.between(0.1, 0.25)
        side = _soft(dice, arm, depth, tall, role="cover").moved((width - arm) / 2, 0, lift + tall / 2)
        parts += both_sides([side])
    count = max(1, int(width / 0.7))
    for middle in (np.arange(count) + 0.5) * (width - 2 * arm) / count - (width / 2 - arm):
        share = (width - 2 * arm) / count
        below = _soft(dice, share, depth - arm, 0.16, role="cushions").moved(middle, -arm / 2, lift + seat + 0.05)
        behind = _soft(dice, share, 0.16, back * 0.8, role="cushions").turned("x", -0.15)
        parts += [below, behind.moved(middle, depth / 2 - arm - 0.05, lift + seat + back * 0.45)]
    if dice.chance(0.4):
        pillow = _soft(dice, 0.35, 0.12, 0.35, role="pillow").turned("x", -0.3)
        parts.append(pillow.moved(dice.between(-0.3, 0.3) * width, 0, lift + seat + 0.3))
    return parts + legs(dice, (width * 0.9, depth * 0.9, lift + 0.03), role="legs", style="round")


def bed(dice: Dice) -> list[Part]:
    """A bed for one or two."""
    width, depth, height = dice.between(0.8, 1.6), 2.0, dice.between(0.15, 0.35)
    parts = [
        box(width, depth, height, role="frame").moved(z=height / 2 + 0.08),
        superquadric((width * 0.48, depth * 0.49, 0.12), (0.2, 0.15), role="sheet").moved(z=height + 0.15),
        superquadric((width * 0.5, depth * 0.36, 0.14), (0.25, 0.15), role="blanket").moved(
            0, -depth * 0.13, height + 0.15
        ),
        box(width, 0.06, dice.between(0.5, 1), role="frame").moved(0, depth / 2, 0.5),
    ]
    pillow = superquadric((width * (0.2 if width > 1.2 else 0.35), 0.18, 0.08), (0.5, 0.35), role="pillow", steps=10)
    pillow = pillow.turned("x", 0.2).moved(width * 0.24 if width > 1.2 else 0.0, depth * 0.36, height + 0.3)
    parts += both_sides([pillow]) if width > 1.2 else [pillow]
    return parts + legs(dice, (width, depth, 0.12), role="frame", style="box")
