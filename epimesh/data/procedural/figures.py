"""Animals, dolls and soft lumps."""

import numpy as np

from epimesh.data.procedural.blending import Limb, Point, blended, pairs
from epimesh.data.procedural.dice import Dice, Number
from epimesh.data.procedural.parts import Part, both_sides
from epimesh.data.procedural.shapes import ellipsoid


def figure(dice: Dice) -> list[Part]:
    """An animal or a doll, head towards -y."""
    kind = dice.choose((_quadruped, _doll, _plush, _bird, _fish))
    limbs, eyes = kind(dice)
    size = max(limbs[0].start_radius, limbs[0].end_radius)
    parts = blended(limbs, size * dice.between(0.15, 0.6), cells=dice.count(34, 46))
    return parts + (_eyes(*eyes) if eyes else [])


Eyes = tuple[Point, float] | None  # centre and radius of the head


def _eyes(head: Point, radius: Number) -> list[Part]:
    eye = ellipsoid((radius * 0.16,) * 3, role="eye", steps=6)
    return both_sides([eye.moved(head[0] + radius * 0.42, head[1] - radius * 0.86, head[2] + radius * 0.25)])


def _quadruped(dice: Dice) -> tuple[list[Limb], Eyes]:
    length, thick, height = dice.between(0.5, 1), dice.between(0.14, 0.3), dice.between(0.2, 0.7)
    front, leg = -length / 2, thick * dice.between(0.2, 0.45)
    height = max(height, thick * 1.2)
    head = (0.0, front - thick * dice.between(0.4, 1.2), height + thick * 0.5 + dice.between(0.05, 0.55))
    radius = thick * dice.between(0.5, 1.1)
    snout = (0.0, head[1] - radius * dice.between(0.5, 1.6), head[2] - radius * dice.between(0, 0.5))
    limbs = [
        Limb(
            (0, front, height),
            (0, -front, height * dice.between(0.9, 1.1)),
            thick,
            thick * dice.between(0.7, 1.2),
            "skin",
        ),
        Limb((0, front, height + thick * 0.2), head, thick * 0.6, radius * 0.7, "skin"),
        Limb(head, snout, radius, radius * dice.between(0.4, 0.8), dice.choose(("skin", "skin", "snout"))),
    ]
    foot_role = "skin" if dice.chance(0.8) else "feet"
    for y in (front, -front):
        x, spread = thick * dice.between(0.5, 0.8), dice.between(0.9, 1.3)
        foot = (x * spread, y + dice.between(-0.08, 0.08), leg)
        limbs += pairs([Limb((x, y, height * 0.9), foot, leg * 1.5, leg, foot_role)])
    ear = (radius * 0.8, head[1], head[2] + radius * (0.7 + dice.between(0.15, 1.1)))
    limbs += pairs([Limb((radius * 0.6, head[1], head[2] + radius * 0.6), ear, radius * 0.28, radius * 0.12, "ears")])
    tail = (0.0, -front + dice.between(0.15, 0.5), height + dice.between(-0.2, 0.5))
    role = dice.choose(("skin", "ears"))
    limbs.append(Limb((0, -front, height + thick * 0.3), tail, thick * 0.22, thick * 0.12, role))
    return limbs, (head, radius)


def _doll(dice: Dice) -> tuple[list[Limb], Eyes]:
    return _biped(dice, fat=1.0, head=dice.between(0.11, 0.2), sits=dice.chance(0.15))


def _plush(dice: Dice) -> tuple[list[Limb], Eyes]:
    return _biped(dice, fat=dice.between(1, 1.6), head=dice.between(0.16, 0.3), sits=dice.chance(0.6))


def _biped(dice: Dice, *, fat: Number, head: Number, sits: bool) -> tuple[list[Limb], Eyes]:
    middle = (0.0, -0.02, 0.9 + head * 0.5)
    limbs = [
        Limb((0, 0, 0.45), (0, 0, 0.7), 0.16 * fat, 0.17 * fat * dice.between(0.7, 1.1), "body"),
        Limb((0, -0.01, 0.88 + head * 0.5), middle, head, head * 0.95, "head"),
    ]
    length, lift = dice.between(0.2, 0.45), dice.between(0.1, 1.3)
    hand = (0.15 * fat + length * np.sin(lift), length * dice.between(-0.5, 0.1), 0.75 - length * np.cos(lift))
    foot = (0.13 * fat, -0.35, 0.32) if sits else (0.1 * fat, 0.0, 0.04)
    toes = (foot[0], foot[1] - 0.1, foot[2] - 0.01)
    limbs += pairs(
        [
            Limb((0.15 * fat, 0, 0.75), hand, 0.06 * fat, 0.05 * fat, "arms"),
            Limb((0.09 * fat, 0, 0.42), foot, 0.08 * fat, 0.07 * fat, "legs"),
            Limb(foot, toes, 0.06 * fat, 0.06 * fat, "feet"),
        ]
    )
    if dice.chance(0.5):
        tip = (head * 0.8, 0.0, middle[2] + head * dice.between(0.9, 1.9))
        limbs += pairs([Limb((head * 0.6, 0, middle[2] + head * 0.7), tip, head * 0.3, head * 0.2, "head")])
    if dice.chance(0.5):
        nose = (0.0, middle[1] - head * 1.15, middle[2] - head * 0.2)
        limbs.append(Limb((0, middle[1] - head * 0.9, middle[2] - head * 0.2), nose, head * 0.35, head * 0.2, "nose"))
    return limbs, (middle, head)


def _bird(dice: Dice) -> tuple[list[Limb], Eyes]:
    thick = dice.between(0.14, 0.3)
    head, radius = (0.0, -0.3, 0.7 + dice.between(0, 0.3)), thick * 0.55
    beak = (0.0, head[1] - radius * 2, head[2] - 0.04)
    limbs = [
        Limb((0, -0.2, 0.5), (0, 0.25, 0.4), thick * 1.1, thick * 0.5, "body"),
        Limb((0, -0.25, 0.6), head, thick * 0.5, radius, dice.choose(("body", "head"))),
        Limb((0, head[1] - radius * 0.8, head[2]), beak, thick * 0.15, 0.015, "beak"),
        Limb((0, 0.25, 0.4), (0, 0.6, 0.42), thick * 0.3, thick * 0.08, "wings"),
    ]
    limbs += pairs(
        [
            Limb((thick * 0.9, -0.1, 0.5), (thick * 0.8, 0.4, 0.38), thick * 0.35, thick * 0.1, "wings"),
            Limb((0.08, 0, 0.35), (0.08, -0.02, 0.05), 0.03, 0.03, "beak"),
            Limb((0.08, -0.02, 0.03), (0.08, -0.15, 0.02), 0.03, 0.02, "beak"),
        ]
    )
    return limbs, (head, radius)


def _fish(dice: Dice) -> tuple[list[Limb], Eyes]:
    thick = dice.between(0.14, 0.3)
    top = 0.4 + thick
    limbs = [
        Limb((0, -0.3, 0.4), (0, 0.35, 0.4), thick, thick * 0.25, "skin"),
        Limb((0, 0.4, 0.4), (0, 0.65, 0.6), 0.07, 0.03, "fins"),
        Limb((0, 0.4, 0.4), (0, 0.65, 0.2), 0.07, 0.03, "fins"),
        Limb((0, -0.1, top), (0, 0.15, top + thick * 0.3), 0.05, 0.03, "fins"),
    ]
    limbs += pairs([Limb((thick * 0.8, -0.1, 0.35), (thick * 1.7, 0.1, 0.2), 0.05, 0.025, "fins")])
    return limbs, ((0.0, -0.3, 0.4), thick)


def blob(dice: Dice) -> list[Part]:
    """Two to seven soft lumps that melt together, most often mirrored."""
    limbs: list[Limb] = []
    symmetric = dice.chance(0.7)
    for number in range(dice.count(2, 7)):
        x = 0.0 if symmetric and (number == 0 or dice.chance(0.5)) else dice.between(-0.4, 0.4)
        start = (x, dice.between(-0.4, 0.4), dice.between(0, 0.8))
        steps = dice.random.normal(0, 0.2, 3)
        end = (x + float(steps[0]) * (x != 0), start[1] + float(steps[1]), start[2] + float(steps[2]))
        role = f"lump {dice.count(0, 2)}"
        limb = Limb(start, end, dice.log_between(0.06, 0.3), dice.log_between(0.05, 0.25), role)
        bridge = Limb(limbs[0].start, start, 0.05, 0.05, limbs[0].role) if limbs else None  # nothing floats
        new = [limb] if bridge is None else [limb, bridge]
        limbs += pairs(new) if symmetric and x != 0 else new
    return blended(limbs, dice.between(0.03, 0.2), cells=36)
