"""Tables, shelves and cabinets, and the choice among all furniture."""

import numpy as np

from epimesh.data.procedural.dice import Dice, Number
from epimesh.data.procedural.lathes import turned_shape
from epimesh.data.procedural.legs import legs
from epimesh.data.procedural.parts import Part, both_sides, bounds
from epimesh.data.procedural.seating import bed, bench, chair, sofa, stool
from epimesh.data.procedural.shapes import box, cylinder, ellipsoid


def furniture(dice: Dice) -> list[Part]:
    """A piece of furniture."""
    kinds = (chair, _table, _shelf, _cabinet, sofa, bench, bed, stool)
    return dice.choose(kinds, (0.24, 0.17, 0.13, 0.13, 0.13, 0.06, 0.07, 0.07))(dice)


def _table(dice: Dice) -> list[Part]:
    width, depth = dice.between(0.6, 1.6), dice.between(0.5, 1)
    height, thick = dice.between(0.3, 0.8), dice.log_between(0.02, 0.1)
    if dice.chance(0.35):
        top = cylinder(depth / 2, thick, role="top", bevel=0.2)
        width = depth = depth * 0.75
    else:
        top = box(width, depth, thick, role="top").moved(z=thick / 2)
    parts = [*legs(dice, (width, depth, height), role="legs"), top.moved(z=height)]
    if dice.chance(0.35):
        parts.append(box(width * 0.85, depth * 0.7, 0.1, role="apron").moved(z=height - 0.05))
    if dice.chance(0.3):
        parts += _standing_on(dice, height + thick)
    return parts


def _standing_on(dice: Dice, top: Number) -> list[Part]:
    """A small turned thing at a random place on a table."""
    thing = turned_shape(dice)
    low, high = bounds(thing)
    size = dice.between(0.12, 0.3) / float((high - low).max())
    x, y = dice.between(-0.2, 0.2), dice.between(-0.1, 0.1)
    return [
        part.made_of(f"thing {part.role}").moved(z=-low[2]).scaled(size, size, size).moved(x, y, top) for part in thing
    ]


def _carcass(dice: Dice, size: tuple[Number, Number, Number], thick: Number, shelves: int) -> list[Part]:
    width, depth, height = size
    parts = both_sides([box(thick, depth, height, role="board").moved(width / 2, 0, height / 2)])
    levels = np.linspace(thick / 2, height - thick / 2, shelves + 1)
    parts += [box(width, depth, thick, role="board").moved(z=z) for z in levels]
    if dice.chance(0.8):
        role = dice.choose(("board", "rear"))
        parts.append(box(width, thick * 0.5, height, role=role).moved(0, depth / 2, height / 2))
    return parts


def _on_feet(dice: Dice, parts: list[Part], width: Number, depth: Number) -> list[Part]:
    lift = dice.between(0, 0.15) if dice.chance(0.6) else 0.0
    if lift < 0.04:
        return parts
    feet = legs(dice, (width, depth, lift), role="feet", style="box")
    return [*(part.moved(z=lift) for part in parts), *feet]


def _case_size(dice: Dice) -> tuple[Number, Number, Number]:
    return dice.between(0.4, 1.2), dice.between(0.2, 0.55), dice.between(0.5, 1.8)


def _shelf(dice: Dice) -> list[Part]:
    width, depth, height = _case_size(dice)
    thick, count = dice.between(0.02, 0.05), dice.count(1, 5)
    parts = _carcass(dice, (width, depth, height), thick, count)
    for level in np.linspace(thick, height, count + 1)[:-1]:
        if dice.chance(0.6):
            parts += [book.moved(z=level) for book in _books(dice, width - 2 * thick, depth, (height / count - thick))]
    return _on_feet(dice, parts, width, depth)


def _books(dice: Dice, width: Number, depth: Number, height: Number) -> list[Part]:
    """Upright books from the left until the row ends or is full."""
    books, left = [], -width / 2
    while left < width / 2 - 0.08 and dice.chance(0.93):
        thick, tall = dice.between(0.02, 0.07), height * dice.between(0.52, 0.93)
        role = f"book {dice.count(0, 5)}"
        book = box(thick, depth * dice.between(0.5, 0.8), tall, role=role)
        books.append(book.moved(left + thick / 2, 0, tall / 2))
        left += thick + 0.003
    return books


def _cabinet(dice: Dice) -> list[Part]:
    width, depth, height = _case_size(dice)
    thick, rows, columns = dice.between(0.02, 0.05), dice.count(1, 5), dice.count(1, 3)
    parts = _carcass(dice, (width, depth, height), thick, rows)
    door = (width / columns, (height - 2 * thick) / rows)
    knob_kind = dice.choose(("bar", "ball"))
    for x in (np.arange(columns) + 0.5) * door[0] - width / 2:
        for z in (np.arange(rows) + 0.5) * door[1] + thick:
            if dice.chance(0.85):
                parts += [part.moved(x, -depth / 2, z) for part in _door(door, knob_kind)]
    return _on_feet(dice, parts, width, depth)


def _door(size: tuple[Number, Number], knob_kind: str) -> list[Part]:
    width, height = size
    panel = box(width - 0.02, 0.02, height - 0.02, role="door", fitted=True).moved(y=-0.008)
    upright = height > width
    if knob_kind == "ball":
        knob = ellipsoid((0.02, 0.02, 0.02), role="knob", steps=6)
    else:
        knob = box(0.02 if upright else 0.08, 0.02, 0.08 if upright else 0.02, role="knob")
    return [panel, knob.moved(width * 0.35 if upright else 0.0, -0.03)]
