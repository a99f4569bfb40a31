"""Outlines of turned things: (radius, height) from the bottom outside over the rim to the inside."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from epimesh.data.procedural.dice import Dice
from epimesh.data.procedural.sweeps import spline

Profile = Float[np.ndarray, "P 2"]


def _chain(*pieces: object) -> Profile:
    return np.concatenate([np.atleast_2d(np.asarray(piece, dtype=float)) for piece in pieces])


def vase(dice: Dice) -> Profile:
    """Bulged and open at the top."""
    ranges = ((0.12, 0.3), (0.2, 0.45), (0.15, 0.45), (0.08, 0.3), (0.1, 0.35))
    radii = [dice.between(*limits) for limits in ranges]
    curve = spline(np.stack([radii, [0, 0.25, 0.55, 0.85, 1]], axis=1), 18)
    rim = max(float(curve[-1, 0]) - 0.02, 0.02)
    return _chain((0, 0), curve, (rim, 1), (rim, 0.9), (0, 0.88))


def bottle(dice: Dice) -> Profile:
    """Body, shoulder, neck and cap."""
    radius, shoulder, bevel = dice.between(0.13, 0.3), dice.between(0.5, 0.75), dice.between(0, 0.04)
    neck, top = radius * dice.between(0.25, 0.6), dice.between(shoulder + 0.08, 0.92)
    middle = (radius * 0.85 + neck * 0.15, shoulder + (top - shoulder) * 0.4)
    curve = spline(np.array([(radius, shoulder), middle, (neck, top)]), 7)
    cap = neck * 1.15
    return _chain(
        (0, 0), (radius - bevel, 0), (radius, bevel + 0.005), curve, (neck, 0.93), (cap, 0.935), (cap, 1), (0, 1)
    )


def bowl(dice: Dice) -> Profile:
    """Wide and hollow."""
    radius, height, power = dice.between(0.5, 0.9), dice.between(0.25, 0.7), dice.between(1.3, 3)
    base = radius * dice.between(0.2, 0.5)
    share = np.linspace(0, 1, 14)
    wall = np.stack([base + (radius - base) * share ** (1 / power), height * share], axis=1)
    return _chain((0, 0), wall, (wall - [0.03, 0])[:1:-1], (0, 0.05))


def cup(dice: Dice) -> Profile:
    """A mug or glass."""
    radius, height = dice.between(0.3, 0.45), dice.between(0.6, 1.1)
    base = radius * dice.between(0.6, 1.05)
    belly = (radius + base) / 2 * dice.between(0.92, 1.05)
    outside = [(0, 0), (base * 0.95, 0), (base, 0.02), (belly, height / 2), (radius, height)]
    return _chain(outside, (radius - 0.03, height), (base - 0.05, 0.06), (0, 0.05))


def goblet(dice: Dice) -> Profile:
    """A bowl on a stem."""
    radius, stem, foot = dice.between(0.2, 0.4), dice.between(0.02, 0.06), dice.between(0.2, 0.4)
    neck = dice.between(0.3, 0.55)
    curve = spline(np.array([(stem, neck), (radius, neck + 0.2), (radius * dice.between(0.7, 1.1), 1)]), 9)
    rim = float(curve[-1, 0]) - 0.02
    return _chain((0, 0), (foot, 0), (foot, 0.02), (stem, 0.06), curve, (rim, 1), (stem, neck + 0.05), (0, neck + 0.05))


def can(dice: Dice) -> Profile:
    """A tin."""
    radius = dice.between(0.2, 0.6)
    side = [(radius * 0.95, 0), (radius, 0.03), (radius, 0.97), (radius * 0.95, 1), (radius * 0.92, 0.98)]
    return _chain((0, 0), side, (0, 0.98))


def hat(dice: Dice) -> Profile:
    """Brim and crown."""
    brim, height = dice.between(0.6, 1), dice.between(0.3, 0.7)
    crown, lift = brim * dice.between(0.4, 0.6), dice.between(0, 0.1)
    edge = [(0, 0.02), (crown, 0.02), (brim * 0.9, 0), (brim, lift), (brim * 0.98, lift + 0.03)]
    return _chain(
        edge,
        (crown * 1.05, 0.05),
        (crown, 0.1),
        (crown * 0.95, height * 0.8),
        (crown * 0.75, height),
        (0, height * 0.97),
    )


def bell(dice: Dice) -> Profile:
    """Flared at the bottom."""
    curve = spline(
        np.array([(dice.between(0.4, 0.6), 0), (0.38, 0.1), (dice.between(0.2, 0.32), 0.5), (0.2, 0.8), (0.02, 0.9)]),
        14,
    )
    return _chain((0, 0), np.maximum(curve, [0.01, 0]), (0, 0.9))


def spindle(dice: Dice) -> Profile:
    """A turned post with random bulges, smooth or stepped."""
    count = dice.count(5, 11)
    radii = np.abs(dice.random.normal(0.2, 0.12, count)) + 0.05
    heights = np.sort(np.concatenate([[0, 1], dice.random.random(count - 2)]))
    points = np.stack([radii, heights], axis=1)
    if dice.chance(0.6):
        points = np.maximum(spline(np.stack([radii, np.linspace(0, 1, count)], axis=1), 24), [0.02, 0])
    return _chain((0, 0), points, (0, 1))


def plate(dice: Dice) -> Profile:
    """Flat with a raised rim."""
    rim = dice.between(0.06, 0.18)
    return _chain((0, 0), (0.55, 0), (0.6, 0.02), (1, rim), (0.99, rim + 0.02), (0.6, 0.06), (0, 0.05))


def ball(dice: Dice) -> Profile:
    """A ball or fruit, perhaps with a dimple."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 18)
    dimple = 0.02 * np.exp(-(((angle - 1.4) / 0.2) ** 2)) * dice.count(-8, 1)
    return np.stack([0.5 * np.cos(angle).clip(0), 0.5 * dice.between(0.7, 1.3) * np.sin(angle) + dimple], axis=1)


def wheel(dice: Dice) -> Profile:
    """Tyre, rim and hub, lying flat."""
    radius, width = 0.5, dice.between(0.1, 0.45)
    inner = radius * dice.between(0.4, 0.75)
    below = [(0, 0.1), (inner * 0.3, 0), (inner, 0.15), (inner, 0), (radius * 0.9, 0), (radius, 0.12)]
    above = [(radius, 0.88), (radius * 0.9, 1), (inner, 1), (inner, 0.85), (0, 0.9)]
    return _chain(below, above) * [1, width]


PROFILES: tuple[tuple[Callable[[Dice], Profile] | None, float], ...] = (  # None stands for the two-piece lamp
    (vase, 2.0),
    (bottle, 3.0),
    (bowl, 1.0),
    (cup, 2.0),
    (goblet, 1.0),
    (None, 1.5),
    (can, 2.0),
    (hat, 1.0),
    (bell, 1.0),
    (spindle, 2.0),
    (plate, 0.6),
    (ball, 1.0),
    (wheel, 1.0),
)
