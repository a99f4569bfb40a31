"""Bodies with a changing cut: shoes, fruit, spoons, abstract forms."""

import numpy as np

from epimesh.data.procedural.dice import Dice, Number
from epimesh.data.procedural.parts import Part, both_sides, bounds
from epimesh.data.procedural.shapes import box, cylinder
from epimesh.data.procedural.sweeps import Cuts, loft, spline, tube

_SHARE = np.linspace(0, 1, 26)


def lofted(dice: Dice) -> list[Part]:
    """A shoe, a fruit, a spoon, or something without a name."""
    return dice.choose((_shoe, _fruit, _free, _spoon), (0.4, 0.15, 0.35, 0.1))(dice)


def _shoe(dice: Dice) -> list[Part]:
    """Heel at y = 0, toes at y = 1."""
    ankle, thick = dice.between(0.2, 0.75), dice.between(0.03, 0.08)
    width = (
        0.17
        * dice.between(0.9, 1.2)
        * np.interp(_SHARE, [0, 0.08, 0.3, 0.55, 0.8, 0.95, 1], [0.3, 0.8, 0.75, 0.72, 1.05, 0.8, 0.3])
    )
    top = np.interp(
        _SHARE, [0, 0.06, 0.35, 0.5, 0.7, 0.9, 1], [ankle * 0.8, ankle, ankle * 0.95, 0.24, 0.17, 0.12, 0.06]
    )
    heel = dice.between(0, 0.25) if dice.chance(0.3) else 0.0
    lift, sideways = np.interp(_SHARE, [0, 0.25, 0.55, 1], [heel, heel, 0, 0.01]), 0.03 * np.sin(5 * _SHARE)
    rounding = np.interp(_SHARE, [0, 0.4, 1], [2.6, 2.2, 2.2])
    upper = Cuts(_SHARE, width, top, 0.01, x=sideways, z=lift + thick, exponent=rounding)
    sole = Cuts(_SHARE, width * 1.08, thick * 0.6, thick * 0.5, x=sideways, z=lift + thick * 0.5, exponent=4.0)
    parts = [loft(upper, role="upper"), loft(sole, role="sole")]
    if heel > 0.08:
        parts.append(box(0.15, 0.2, heel, role="sole").moved(0, 0.12, heel / 2))
    parts += [_lace(y, float(np.interp(y, _SHARE, top)) + thick) for y in np.linspace(0.42, 0.68, dice.count(0, 5))]
    if dice.chance(0.5):
        tip = _SHARE > 0.75
        cap = Cuts(_SHARE[tip], width[tip] * 1.03, top[tip] * 1.04, 0.01, x=sideways[tip], z=lift[tip] + thick)
        parts.append(loft(cap, role="cap"))
    return both_sides([part.moved(0.22) for part in parts]) if dice.chance(0.4) else parts


def _lace(y: Number, height: Number) -> Part:
    across = np.linspace(-1, 1, 7)
    path = np.stack([0.09 * across, np.full(7, y), height + 0.006 - 0.07 * across**2], axis=1)
    return tube(path, 0.012, role="laces", sides=5)


def _spoon(dice: Dice) -> list[Part]:
    width = np.interp(_SHARE, [0, 0.2, 0.3, 0.4, 1], [0.02, 0.13, 0.1, 0.03, 0.045])
    z = 0.05 + 0.05 * np.cos(7 * _SHARE) * (_SHARE < 0.45)
    return [loft(Cuts(_SHARE, width, 0.012, 0.02 * dice.between(0.5, 2), z=z, exponent=3.0), role="spoon")]


def _body(dice: Dice, radius: np.ndarray) -> list[Part]:
    """A body with this outline, closed at its ends, lying or standing, perhaps with a stalk."""
    ends = np.sqrt(np.clip(1 - (2 * _SHARE - 1) ** dice.choose((2, 4, 10)), 0.004, 1))
    radius = np.maximum(radius, 0.03) * ends
    bend = dice.between(-0.5, 0.5) if dice.chance(0.5) else 0.0
    wide, up, down = (radius * dice.between(0.5, 1) for _ in range(3))
    cuts = Cuts(
        _SHARE * dice.between(0.6, 1.8),
        wide,
        up,
        down,
        z=bend * (_SHARE - 0.5) ** 2 * 2,
        exponent=dice.log_between(1.4, 5),
    )
    parts = [loft(cuts, role="body")]
    if dice.chance(0.5):
        parts = [part.turned("x", np.pi / 2) for part in parts]
    if dice.chance(0.5):
        low, high = bounds(parts)
        stalk = cylinder(dice.between(0.03, 0.2), 0.15, role="stalk")
        parts.append(stalk.moved(0, float(low[1] + high[1]) / 2, float(high[2]) - 0.05))
    return parts


def _fruit(dice: Dice) -> list[Part]:
    return _body(dice, 0.35 + 0 * _SHARE)


def _free(dice: Dice) -> list[Part]:
    radii = np.abs(dice.random.normal(0.28, 0.12, 6)) + 0.05
    return _body(dice, spline(radii[:, None], len(_SHARE))[:, 0])
