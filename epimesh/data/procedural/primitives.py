"""Piles of simple solids, and stacked superquadrics."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from epimesh.data.procedural.dice import Dice
from epimesh.data.procedural.parts import Part, bounds, projected_uv, rotation
from epimesh.data.procedural.shapes import Section, box, cylinder, ellipsoid, superquadric
from epimesh.data.procedural.sweeps import ring

_COUNT_WEIGHTS = (5, 5, 5, 4, 4, 3, 2, 1, 1)  # of 1 to 9 solids


def solid(dice: Dice, role: str) -> Part:
    """One simple solid around the origin."""
    a, b, c = (dice.log_between(0.15, 0.6) for _ in range(3))
    kind = dice.choose(("box", "ellipsoid", "cylinder", "cone", "ring", "superquadric", "rough"))
    if kind == "box":
        return box(2 * a, 2 * b, 2 * c, role=role)
    if kind == "ellipsoid":
        return ellipsoid((a, b, c), role=role, steps=16)
    if kind == "cylinder":
        section = Section(depth=b / a)
        return cylinder(a, 2 * c, role=role, bevel=dice.between(0, 0.3), section=section).moved(z=-c)
    if kind == "cone":
        return cylinder(a, 2 * c, role=role, top=a * dice.between(0, 0.7)).moved(z=-c)
    if kind == "ring":
        return ring(a, a * dice.between(0.15, 0.45), role=role)
    if kind == "superquadric":
        return superquadric((a, b, c), (dice.log_between(0.15, 2.2), dice.log_between(0.15, 2.2)), role=role)
    return rough(dice, superquadric((a, b, c), (dice.log_between(0.3, 1), dice.log_between(0.3, 1)), role=role))


def rough(dice: Dice, part: Part) -> Part:
    """The part with a bumpy surface (sums of waves in space, so that it stays closed)."""
    size = np.ptp(part.vertices, axis=0)
    height = dice.between(0.02, 0.15) * size.min()
    waves = dice.random.normal(0, 1, (6, 3)) * [[dice.log_between(3, 12) / size.max()] for _ in range(6)]
    bumps = np.sin(part.vertices @ waves.T + dice.random.uniform(0, 2 * np.pi, 6)).sum(1) / 3
    outwards = part.vertices / (np.linalg.norm(part.vertices, axis=1, keepdims=True) + 1e-6)
    vertices = part.vertices + outwards * (bumps * height)[:, None]
    return replace(part, vertices=vertices, uv=projected_uv(vertices, part.faces))


def random_rotation(dice: Dice) -> Float[np.ndarray, "3 3"]:
    """A rotation without preference."""
    q, _ = np.linalg.qr(dice.random.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def primitives(dice: Dice) -> list[Part]:
    """One to nine solids, most often upright, touching and mirrored."""
    count = dice.choose(range(1, 10), _COUNT_WEIGHTS)
    symmetric, upright = dice.chance(0.8), dice.chance(0.75)
    parts: list[Part] = []
    for number in range(count):
        part = solid(dice, f"solid {number}")
        if upright:
            part = _quarter_turned(dice, part)
            part = part.moved(*_touching(dice, part, parts, symmetric)) if parts else part
        elif parts or not symmetric:
            part = part.rotated(random_rotation(dice)).moved(*(dice.vector(-0.4, 0.4) * bool(parts)))
        parts.append(part)
        if symmetric and number > 0 and abs(float((part.low + part.high)[0])) > 0.1:
            parts.append(part.mirrored())
    return parts


def _quarter_turned(dice: Dice, part: Part) -> Part:
    """Upright, or lying along x or y."""
    if dice.chance(0.7):
        return part
    return part.rotated(rotation("z", dice.count(0, 3) * np.pi / 2) @ rotation(dice.choose(("x", "y")), np.pi / 2))


def _touching(dice: Dice, part: Part, others: list[Part], symmetric: bool) -> Float[np.ndarray, "3"]:
    """A place for `part` where it meets the others: within their bounds, or on top of them."""
    low, high = bounds(others)
    x = 0.0 if symmetric and dice.chance(0.5) else dice.between(-0.7, 0.7) * float(high[0])
    place = np.array([x, dice.between(-0.6, 0.6) * float(high[1]), dice.between(float(low[2]), float(high[2]))])
    if dice.chance(0.4):
        place = np.array([place[0] * 0.3, place[1] * 0.3, high[2] - part.low[2] - 0.02])
    return place


def superquadrics(dice: Dice) -> list[Part]:
    """One to four superquadrics on top of each other, some with a pair at their sides."""
    parts: list[Part] = []
    top = 0.0
    for number in range(dice.count(1, 4)):
        a, b, c = dice.log_between(0.2, 0.6), dice.log_between(0.2, 0.6), dice.log_between(0.15, 0.6)
        b = a * dice.between(0.7, 1.1) if dice.chance(0.6) else b
        exponents = (dice.log_between(0.12, 1.3), dice.log_between(0.12, 1.3))
        part = superquadric((a, b, c), exponents, role=f"body {number}", fitted=dice.chance(0.3))
        if parts and dice.chance(0.4):
            beside = part.moved(dice.between(0.2, 0.6), 0, dice.between(0, top))
            parts += [beside, beside.mirrored()]
        else:
            parts.append(part.moved(0, dice.between(-0.1, 0.1) * number, top + c * 0.9))
            top += c * 1.7
    return parts
