"""Things made on a lathe or a potter's wheel."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float

from epimesh.data.procedural.dice import Dice
from epimesh.data.procedural.parts import Part
from epimesh.data.procedural.profiles import PROFILES
from epimesh.data.procedural.shapes import Section, lathe
from epimesh.data.procedural.sweeps import arc, tube


def turned_shape(dice: Dice) -> list[Part]:
    """A vessel, lamp, hat, wheel, ..., in one to four materials."""
    kind = dice.choose([kind for kind, _ in PROFILES], [weight for _, weight in PROFILES])
    if kind is None:
        return _lamp(dice)
    profile = kind(dice)
    section = _section(dice)
    zones = dice.count(1, 4)
    parts = [
        lathe(piece, role=f"zone {number}", section=section, fitted=dice.chance(0.5))
        for number, piece in enumerate(_cut(profile, zones, dice))
    ]
    if kind.__name__ == "cup" and dice.chance(0.75):
        parts.append(_handle(dice, profile, section))
    return parts


def _section(dice: Dice) -> Section:
    lobes, exponent = 0, 2.0
    if dice.chance(0.15):
        lobes = dice.count(3, 12)
    elif dice.chance(0.2):
        exponent = dice.log_between(2, 8)
    return Section(
        lobes=lobes,
        lobe_depth=dice.between(0.02, 0.12) if lobes else 0.0,
        exponent=exponent,
        twist=dice.between(-2, 2) if lobes and dice.chance(0.5) else 0.0,
        width=dice.between(0.45, 0.9) if dice.chance(0.25) else 1.0,
    )


def _cut(profile: Float[np.ndarray, "P 2"], zones: int, dice: Dice) -> list[Float[np.ndarray, "_ 2"]]:
    """The profile in at most `zones` pieces of random length."""
    inner = np.arange(1, len(profile) - 1)
    where = np.sort(dice.random.permutation(inner)[: zones - 1])
    limits = [0, *where.tolist(), len(profile) - 1]
    return [profile[a : b + 1] for a, b in pairwise(limits)]


def _handle(dice: Dice, profile: Float[np.ndarray, "P 2"], section: Section) -> Part:
    height = float(np.ptp(profile[:, 1]))
    low, high = height * dice.between(0.15, 0.3), height * dice.between(0.7, 0.9)
    reach = dice.between(0.15, 0.3)
    path = arc(1.0, start=-np.pi / 2, stop=np.pi / 2, count=12) * [reach, 1, (high - low) / 2]
    path[:, 0] += float(np.interp((low + high) / 2, *_outside(profile))) * section.width * 0.93
    path[:, 2] += (low + high) / 2
    return tube(path, dice.between(0.02, 0.05), role="handle")


def _outside(profile: Float[np.ndarray, "P 2"]) -> tuple[np.ndarray, np.ndarray]:
    """Height and radius of the outer wall, from the bottom to the rim."""
    rim = int(profile[:, 1].argmax()) + 1
    return profile[:rim, 1], profile[:rim, 0]


def _lamp(dice: Dice) -> list[Part]:
    foot, stem, neck = dice.between(0.15, 0.35), dice.between(0.015, 0.04), dice.between(0.55, 0.72)
    wide = dice.between(0.2, 0.42)
    narrow = wide * dice.between(0.4, 1)
    stand = np.array([(0, 0), (foot, 0), (foot, 0.04), (stem, 0.07), (stem, neck + 0.1), (0, neck + 0.1)])
    shade = np.array([(wide, neck), (narrow, 1), (narrow - 0.015, 1), (wide - 0.015, neck)])
    return [lathe(stand, role="stand"), lathe(shade, role="shade", section=_section(dice), fitted=True)]
