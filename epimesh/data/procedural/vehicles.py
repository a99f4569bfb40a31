"""Cars, trucks, trains, carts, boats and planes, front towards -y."""

import numpy as np

from epimesh.data.procedural.dice import Dice, Number
from epimesh.data.procedural.parts import Part, both_sides
from epimesh.data.procedural.shapes import Section, box, cylinder, ellipsoid, superquadric
from epimesh.data.procedural.solids import extruded
from epimesh.data.procedural.sweeps import Cuts, loft

_SHARE = np.linspace(0, 1, 22)


def vehicle(dice: Dice) -> list[Part]:
    """Something to travel in."""
    return dice.choose((_car, _truck, _train, _boat, _plane, _cart), (0.35, 0.2, 0.12, 0.12, 0.13, 0.08))(dice)


def _wheels(x: Number, places: np.ndarray, radius: Number) -> list[Part]:
    """Pairs of wheels at these positions along y, standing on z = 0."""
    section = Section(segments=20)
    tyre = cylinder(radius, 0.1, role="tyre", section=section).moved(z=-0.05)
    hub = cylinder(radius * 0.55, 0.12, role="hub", section=section).moved(z=-0.06)
    parts = [part.turned("y", np.pi / 2).moved(x, y, radius) for part in (tyre, hub) for y in places]
    return both_sides(parts)


def _car(dice: Dice) -> list[Part]:
    width, length, wheel = dice.between(0.35, 0.5), dice.between(0.8, 1.3), dice.between(0.08, 0.14)
    hood, roof = dice.between(0.16, 0.26), dice.between(0.16, 0.3)
    y, floor = (_SHARE - 0.5) * length, wheel * 1.6
    rounding = np.minimum(1, np.minimum((_SHARE + 0.03) * 14, (1.03 - _SHARE) * 14)) ** 0.5
    body = Cuts(y, width / 2 * rounding, hood * rounding, hood * rounding * 0.6 + 0.02, z=floor, exponent=4.0)
    limits = [dice.between(0.1, 0.3), dice.between(0.35, 0.45), dice.between(0.6, 0.8), dice.between(0.82, 0.98)]
    rise = np.interp(_SHARE, limits, [0.02, 1, 1, 0.02])
    inside = (limits[0] < _SHARE) & (limits[3] > _SHARE)
    y, rise = y[inside], rise[inside]
    slope = 1 - 0.25 * rise
    windows = Cuts(y, width * 0.45 * slope, roof * rise + hood * 0.35, 0.02, z=floor + hood * 0.6, exponent=4.0)
    top = rise > 0.9
    cover = Cuts(y[top], width * 0.46 * slope[top], 0.03, 0.01, z=floor + hood * 0.95 + roof - 0.05, exponent=4.0)
    parts = [loft(body, role="paint"), loft(windows, role="glass"), loft(cover, role="paint")]
    parts += _wheels(width / 2 - 0.03, np.array([-0.32, 0.3]) * length, wheel)
    light = ellipsoid((0.05, 0.02, 0.03), role="lamp", steps=6).moved(width * 0.35, -length / 2, floor + 0.05)
    return parts + both_sides([light])


def _truck(dice: Dice) -> list[Part]:
    return _hauler(dice, cargo=dice.choose((_crate, _tank, None), (0.5, 0.3, 0.2)))


def _cart(dice: Dice) -> list[Part]:
    return _hauler(dice, cargo=dice.choose((_crate, None)))


def _train(dice: Dice) -> list[Part]:
    parts = _hauler(dice, cargo=_tank)
    chimney = cylinder(0.05, 0.2, role="chimney", top=0.07, section=Section(segments=12))
    return [*parts, chimney.moved(0, float(parts[1].low[1]) + 0.1, float(parts[1].high[2]) - 0.02)]


def _hauler(dice: Dice, cargo: object) -> list[Part]:
    """A chassis with a cabin and what it carries."""
    width, length, wheel = dice.between(0.35, 0.5), dice.between(0.8, 1.3), dice.between(0.08, 0.14)
    height, cabin, floor = dice.between(0.25, 0.5), length * dice.between(0.25, 0.4), wheel * 1.3
    middle = -length / 2 + cabin / 2
    if dice.chance(0.6):
        house = box(width, cabin, height * dice.between(0.7, 1.1), role="cabin")
    else:
        house = superquadric((width / 2, cabin / 2, height * 0.5), (0.2, 0.2), role="cabin", steps=12)
    z = floor + 0.03 - float(house.low[2])
    pane = floor + 0.03 + float(np.ptp(house.vertices[:, 2])) * 0.7
    parts = [
        box(width, length, 0.08, role="chassis").moved(z=floor),
        house.moved(0, middle, z),
        box(width * 0.9, 0.02, height * 0.3, role="glass").moved(0, -length / 2 - 0.005, pane),
        box(width * 1.01, cabin * 0.5, height * 0.3, role="glass").moved(0, middle, pane),
    ]
    if callable(cargo):
        load = cargo(dice, width, length - cabin - 0.05, height)
        parts.append(load.moved(0, cabin / 2 + 0.02, floor + 0.04 - float(load.low[2])))
    return parts + _wheels(width / 2, np.linspace(-0.38, 0.38, dice.count(2, 4)) * length, wheel)


def _crate(dice: Dice, width: Number, length: Number, height: Number) -> Part:
    return box(width * 1.05, length, height * dice.between(0.8, 1.4), role="cargo", fitted=True)


def _tank(dice: Dice, width: Number, length: Number, height: Number) -> Part:
    return cylinder(width * 0.45, length, role="cargo", bevel=0.2).moved(z=-length / 2).turned("x", np.pi / 2)


def _boat(dice: Dice) -> list[Part]:
    width, length = dice.between(0.35, 0.5), dice.between(0.8, 1.3)
    y, stern = (_SHARE - 0.5) * length, dice.between(0.5, 0.9)
    beam = width * 0.6 * np.interp(_SHARE, [0, 0.35, 1], [0.02, 1, stern]) ** 0.7
    parts = [
        loft(Cuts(y, beam, 0.02, 0.2, z=0.25, exponent=2.2), role="hull"),
        box(width * 0.6, length * 0.3, 0.18, role="cabin").moved(0, 0.1, 0.34),
    ]
    if dice.chance(0.6):
        parts.append(cylinder(0.015, 0.8, role="mast", section=Section(segments=8)).moved(z=0.25))
        sail = extruded([np.array([[0.02, 0.4], [0.4, 0.4], [0.02, 1.0]])], 0.01, role="sail")
        parts.append(sail.turned("x", np.pi / 2).turned("z", np.pi / 2).moved(-0.005))
    return parts


def _plane(dice: Dice) -> list[Part]:
    length, span = dice.between(0.8, 1.3), dice.between(0.4, 0.8)
    y, sweep = (_SHARE - 0.5) * length, dice.between(-0.1, 0.35)
    radius = dice.between(0.07, 0.12) * np.clip(np.minimum((_SHARE + 0.02) * 6, (1.05 - _SHARE) * 2.2), 0.05, 1) ** 0.5
    tail, height = length * 0.36, 0.4
    wings = [
        _wing(span, sweep, 0.25).moved(0, -length * 0.1, height),
        _wing(span * 0.4, 0.08, 0.12).moved(0, tail, height + 0.02),
    ]
    fin = _wing(0.25, 0.1, 0.15).made_of("fin").turned("y", -np.pi / 2).moved(0.012, tail, height + 0.02)
    parts = [loft(Cuts(y, radius, radius, radius, z=height), role="body"), *both_sides(wings), fin]
    if dice.chance(0.6):
        engine = cylinder(0.05, 0.18, role="engines", section=Section(segments=14)).turned("x", np.pi / 2)
        parts += both_sides([engine.moved(span * 0.45, sweep * 0.45, height - 0.04)])
    return parts


def _wing(span: Number, sweep: Number, chord: Number) -> Part:
    outline = np.array([[0, 0], [span, sweep], [span, sweep + chord * 0.5], [0, chord]])
    return extruded([outline], 0.025, role="wings")
