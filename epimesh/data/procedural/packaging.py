"""Boxes, stacks, books, bags and cans."""

from dataclasses import replace

import numpy as np

from epimesh.data.procedural.dice import Dice
from epimesh.data.procedural.parts import Part, both_sides
from epimesh.data.procedural.shapes import Section, box, cylinder, lathe, superquadric
from epimesh.data.procedural.sweeps import arc, tube


def packaging(dice: Dice) -> list[Part]:
    """Something that goods come in."""
    kinds = (_carton, _stack, _bag, _books, _can)
    return dice.choose(kinds, (0.45, 0.15, 0.15, 0.15, 0.10))(dice)


def _carton(dice: Dice) -> list[Part]:
    width, depth, height = dice.log_between(0.2, 1), dice.log_between(0.04, 0.9), dice.log_between(0.1, 1.2)
    body = box(width, depth, height, role="carton", fitted=True)
    if dice.chance(0.3):
        narrow = np.where(body.vertices[:, 2:] > 0, dice.between(0.6, 0.98), 1.0)
        body = replace(body, vertices=body.vertices * np.concatenate([narrow, narrow, np.ones_like(narrow)], axis=1))
        return [body]
    if dice.chance(0.25):
        band = box(width * 1.02, depth * 1.02, height * dice.between(0.1, 0.4), role="band", fitted=True)
        return [body, band.moved(z=height * dice.between(-0.2, 0.4))]
    return [body]


def _stack(dice: Dice) -> list[Part]:
    parts, top = [], 0.0
    for number in range(dice.count(2, 5)):
        width, depth, height = dice.between(0.3, 0.9), dice.between(0.3, 0.7), dice.between(0.08, 0.5)
        carton = box(width, depth, height, role=f"carton {number}", fitted=dice.chance(0.5))
        carton = carton.turned("z", dice.normal(0.15))
        parts.append(carton.moved(dice.between(-0.1, 0.1), dice.between(-0.1, 0.1), top + height / 2))
        top += height
    return parts


def _books(dice: Dice) -> list[Part]:
    parts, top = [], 0.0
    for number in range(dice.count(1, 6)):
        width, depth, height = dice.between(0.5, 0.7), dice.between(0.7, 1), dice.between(0.04, 0.15)
        cover = f"cover {number}"
        book = [
            box(width, depth, 0.012, role=cover, fitted=True).moved(z=0.006),
            box(width, depth, 0.012, role=cover, fitted=True).moved(z=height - 0.006),
            box(0.015, depth, height, role=cover, fitted=True).moved(-width / 2, 0, height / 2),
            box(width * 0.96, depth * 0.96, height - 0.02, role="pages").moved(z=height / 2),
        ]
        angle = dice.normal(0.25)
        parts += [part.turned("z", angle).moved(z=top) for part in book]
        top += height
    return parts


def _bag(dice: Dice) -> list[Part]:
    width, depth, height = dice.between(0.5, 0.9), dice.between(0.2, 0.5), dice.between(0.6, 1.1)
    exponents = (dice.between(0.15, 0.5), dice.between(0.2, 0.6))
    half = (width / 2, depth / 2, height / 2)
    body = superquadric(half, exponents, role="bag", fitted=dice.chance(0.4))
    narrow = 1 - dice.between(0, 0.5) * (body.vertices[:, 2:] / height + 0.5)
    factors = np.concatenate([narrow, narrow, np.ones_like(narrow)], axis=1)
    parts = [replace(body, vertices=body.vertices * factors)]
    path = arc(1.0) * [width * 0.22, 1, dice.between(0.15, 0.5)] + [0, depth * 0.1, height * 0.44]
    parts += both_sides([tube(path, dice.between(0.012, 0.04), role="handles", sides=6)], axis=1)
    if dice.chance(0.6):
        pocket = superquadric((width * 0.35, depth * 0.2, height * 0.25), (0.3, 0.3), role="pocket", steps=10)
        parts.append(pocket.moved(0, -depth * 0.42, -height * 0.15))
    return parts


def _can(dice: Dice) -> list[Part]:
    radius, height = dice.between(0.2, 0.45), dice.between(0.5, 1.3)
    cut = 0.08 * radius
    section = Section(exponent=dice.log_between(2, 8) if dice.chance(0.2) else 2.0)
    side = np.array([(radius - cut, 0), (radius, cut), (radius, height - cut), (radius - cut, height)])
    ends = [np.array([(0, 0), side[0]]), np.array([side[-1], (0, height)])]
    parts = [lathe(side, role="wrapper", section=section, fitted=True)]
    parts += [lathe(end, role="metal", section=section) for end in ends]
    if dice.chance(0.6):
        lid = cylinder(radius * 1.04, height * 0.12, role="lid", bevel=0.2, section=section)
        parts.append(lid.moved(z=height * 0.95))
    return parts
