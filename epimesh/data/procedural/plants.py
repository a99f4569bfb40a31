"""Pot plants, trees, flowers, cacti and mushrooms."""

import numpy as np

from epimesh.data.procedural.blending import Limb, blended
from epimesh.data.procedural.dice import Dice, Number
from epimesh.data.procedural.parts import Part
from epimesh.data.procedural.primitives import rough
from epimesh.data.procedural.shapes import Section, ellipsoid, grid, lathe
from epimesh.data.procedural.sweeps import spline, tube

_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


def plant(dice: Dice) -> list[Part]:
    """Something that grows."""
    kinds = (_pot_plant, _tree, _bush, _flowers, _cactus, _mushroom)
    return dice.choose(kinds, (0.35, 0.2, 0.12, 0.13, 0.1, 0.1))(dice)


def _leaf(length: Number, width: Number, bend: Number, *, role: str, steps: int = 6) -> Part:
    """A leaf from the origin along y, hanging by `bend`."""
    share = np.linspace(0, 1, steps)
    half = width * np.sin(np.pi * np.clip(share * 0.93 + 0.05, 0, 1)) ** 0.8
    y, z = share * length, -bend * share**2 * length
    rows = [np.stack([side * half, y, z + abs(side) * half * 0.2], axis=1) for side in (-1, 0, 1)]
    return grid(np.stack(rows), role=role)


def _pot(dice: Dice) -> tuple[Part, float]:
    """A pot and the height of its earth."""
    radius, height = dice.between(0.15, 0.3), dice.between(0.18, 0.4)
    outside = [(0, 0), (radius * dice.between(0.6, 1), 0), (radius, height), (radius * 1.1, height)]
    inside = [
        (radius * 1.1, height * 1.08),
        (radius * 0.9, height * 1.08),
        (radius * 0.9, height * 0.9),
        (0, height * 0.9),
    ]
    return lathe(np.array(outside + inside), role="pot"), height * 0.9


def _pot_plant(dice: Dice) -> list[Part]:
    pot, earth = _pot(dice)
    parts, count = [pot], dice.count(6, 28)
    length, slope = dice.between(0.3, 0.8), dice.between(0.2, 1.3)
    width = length * dice.log_between(0.06, 0.35)
    for number in range(count):
        share = number / count
        rise = float(np.clip(slope * (1 - 0.6 * share) + dice.normal(0.12) + 0.5 * share, 0.05, 1.5))
        size, role = dice.between(0.7, 1.1), f"leaves {dice.count(1, 2)}"
        leaf = _leaf(length * size, width * size, dice.between(0.1, 0.8), role=role).turned("x", rise)
        leaf = leaf.turned("z", number * _GOLDEN_ANGLE + dice.between(-0.2, 0.2))
        parts.append(leaf.moved(z=earth + (dice.between(0, 0.25) if dice.chance(0.3) else 0.0)))
    return parts


def _tree(dice: Dice) -> list[Part]:
    height, thick = dice.between(0.3, 0.7), dice.between(0.03, 0.09)
    kind = dice.choose(("cones", "crown", "bare"), (0.3, 0.6, 0.1))
    if kind == "cones":
        trunk = tube(np.array([[0, 0, 0], [0, 0, height + 0.3]]), thick, role="bark", sides=7)
        wide = dice.between(0.2, 0.4)
        cones = [
            np.array([(0, 0.0), (wide * (1 - 0.25 * i), 0.0), (0, 0.5)]) + np.array([0, height * 0.6 + 0.25 * i])
            for i in range(3)
        ]
        return [trunk, *(lathe(cone, role="crown", section=Section(segments=12)) for cone in cones)]
    branches, tips = _branches(dice, np.zeros(3), np.array([0, 0, height]), thick, depth=dice.count(1, 3))
    if kind == "bare":
        return branches
    limbs = []
    for tip in tips[:14]:
        x, y, z = tip.tolist()
        radius = dice.between(0.1, 0.25)
        limbs.append(Limb((x, y, z), (x, y, z + 0.02), radius, radius, "crown"))
    return branches + [rough(dice, part) for part in blended(limbs, 0.08, cells=30)]


def _branches(
    dice: Dice, start: np.ndarray, step: np.ndarray, thick: Number, depth: int
) -> tuple[list[Part], list[np.ndarray]]:
    """A branch with its children, and where they end."""
    end, length = start + step, float(np.linalg.norm(step))
    path = np.linspace(start, end, 3)
    path[1] += dice.random.normal(0, 0.03 * length, 3)
    parts, tips = [tube(path, np.linspace(thick, thick * 0.7, 3), role="bark", sides=6)], []
    if depth == 0:
        return parts, [end]
    for _ in range(dice.count(2, 3)):
        direction = step / length + dice.random.normal(0, 0.55, 3)
        direction[2] = abs(direction[2])
        child = direction / np.linalg.norm(direction) * length * dice.between(0.55, 0.8)
        more, ends = _branches(dice, end, child, thick * 0.65, depth - 1)
        parts += more
        tips += ends
    return parts, tips


def _bush(dice: Dice) -> list[Part]:
    parts = []
    for _ in range(dice.count(8, 30)):
        size = (dice.between(0.4, 0.8), dice.between(0.02, 0.15), dice.between(-0.1, 0.6))
        leaf = _leaf(*size, role=f"leaves {dice.count(0, 2)}").turned("x", dice.between(0.2, 1.5))
        parts.append(leaf.turned("z", dice.between(0, 2 * np.pi)))
    return parts


def _flowers(dice: Dice) -> list[Part]:
    pot, earth = _pot(dice)
    parts = [pot]
    for _ in range(dice.count(1, 5)):
        angle, reach, height = dice.between(0, 2 * np.pi), dice.between(0, 0.35), dice.between(0.4, 0.9)
        away = np.array([np.cos(angle), np.sin(angle), 0]) * reach
        lift = np.array([0, 0, 1.0])
        path = spline(
            np.array([earth * lift, away * 0.4 + (earth + height * 0.6) * lift, away + (earth + height) * lift]), 6
        )
        parts.append(tube(path, 0.012, role="stems", sides=5))
        parts.append(_leaf(0.3, 0.06, 0.4, role="stems").turned("x", 0.6).turned("z", angle + 1).moved(*path[2]))
        parts += [part.moved(*path[-1]) for part in _blossom(dice)]
    return parts


def _blossom(dice: Dice) -> list[Part]:
    count, size, rise = dice.count(5, 9), dice.between(0.08, 0.2), dice.between(0.1, 0.6)
    petal = _leaf(size, size * 0.35, dice.between(-0.5, 0.3), role="petals", steps=4).turned("x", rise)
    petals = [petal.turned("z", angle) for angle in np.arange(count) * (2 * np.pi / count)]
    return [*petals, ellipsoid((size * 0.3, size * 0.3, size * 0.2), role="pollen", steps=6)]


def _cactus(dice: Dice) -> list[Part]:
    pot, earth = _pot(dice)
    radius, height = dice.between(0.08, 0.16), dice.between(0.4, 0.9)
    share = np.linspace(0, 1, 16)
    outline = radius * np.sqrt(np.clip(1 - (share * 1.7 - 0.7).clip(0) ** 6, 0, 1)) * (share > 0)
    section = Section(segments=36, lobes=dice.count(6, 13), lobe_depth=0.08)
    parts = [pot, lathe(np.stack([outline, share * height], axis=1), role="skin", section=section).moved(z=earth)]
    for _ in range(dice.count(0, 3)):
        angle, level = dice.between(0, 2 * np.pi), earth + height * dice.between(0.3, 0.6)
        away, tall = np.array([np.cos(angle), np.sin(angle), 0]), dice.between(0.2, 0.4)
        points = [
            away * r + [0, 0, level + up] for r, up in ((radius * 0.5, 0), (radius + 0.15, 0.03), (radius + 0.17, tall))
        ]
        parts.append(tube(spline(np.array(points), 8), radius * 0.45, role="skin", sides=10))
    return parts


def _mushroom(dice: Dice) -> list[Part]:
    radius, height = dice.between(0.2, 0.5), dice.between(0.3, 0.7)
    stem = radius * dice.between(0.2, 0.6)
    foot = np.array([(0, 0), (stem * 1.1, 0), (stem, height * 0.5), (stem * 0.8, height), (0, height)])
    rim = [(0, height * 0.95), (radius, height * 0.9), (radius * 0.95, height + radius * 0.2)]
    cap = np.array([*rim, (radius * 0.6, height + radius * 0.5), (0, height + radius * 0.65)])
    return [lathe(foot, role="stem", section=Section(segments=16)), lathe(cap, role="cap", fitted=dice.chance(0.5))]
