"""Colours that go together, drawn from palettes of real objects."""

import colorsys
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from epimesh.data.procedural.dice import Dice, Number

PALETTES = Path(__file__).with_name("palettes.npy")
MEAN_SHADING = 0.76  # renders are darker than the surface colours by this factor on average

Color = Float[np.ndarray, "3"]
Colors = Float[np.ndarray, "M 3"]


@cache
def real_palettes() -> UInt8[np.ndarray, "P 4 3"]:
    """Four colours of each of several hundred real objects, most frequent first, as rendered."""
    found: UInt8[np.ndarray, "P 4 3"] = np.load(PALETTES)
    return found


def shifted(colors: Colors, *, hue: Number = 0.0, saturation: Number = 1.0, value: Number = 1.0) -> Colors:
    """The colours with turned hue (1 is a full turn) and scaled saturation and value."""
    changed = []
    for color in colors:
        h, s, v = colorsys.rgb_to_hsv(*color.clip(0, 1).tolist())
        changed.append(colorsys.hsv_to_rgb((h + hue) % 1, min(s * saturation, 1.0), min(v * value, 1.0)))
    return np.array(changed, dtype=float)


def near(dice: Dice, color: Color, spread: Number) -> Color:
    """A colour like `color`, a little lighter or darker, a little tinted."""
    return np.clip(color * np.exp(dice.normal(spread)) + dice.random.normal(0, spread * 0.2, 3), 0, 1)


def vivid(dice: Dice, low: Number = 0.4) -> Color:
    """A saturated colour of any hue."""
    return np.array(colorsys.hsv_to_rgb(dice.between(0, 1), dice.between(low, 1), dice.between(0.4, 1)))


def draw_palette(dice: Dice, count: int) -> Colors:
    """The colours of one object: mostly those of a real one, sometimes white, black, or a family of hues."""
    kind = dice.choose(("real", "white", "black", "hues"), (0.70, 0.09, 0.07, 0.14))
    if kind == "real":
        return _real(dice, count)
    if kind == "hues":
        first = vivid(dice)[None]
        spread = 0.5 if dice.chance(0.5) else 0.05
        turns = [shifted(first, hue=dice.between(0, spread), value=dice.between(0.6, 1.1)) for _ in range(count)]
        return np.concatenate(turns)
    level = dice.between(0.82, 1) if kind == "white" else dice.between(0.03, 0.2)
    tones = level + dice.random.normal(0, 0.02, (count, 1)) + dice.random.normal(0, 0.012, (count, 3))
    if count > 1 and dice.chance(0.6):
        tones[dice.count(1, count - 1)] = vivid(dice, 0.5)
    return np.clip(tones, 0, 1)


def _real(dice: Dice, count: int) -> Colors:
    four = dice.row(real_palettes()) / 255 / MEAN_SHADING
    order = np.concatenate([np.arange(4), dice.random.integers(0, 4, max(0, count - 4))])[:count]
    hue = dice.between(0, 1) if dice.chance(0.3) else dice.normal(0.03)
    value = float(np.exp(dice.normal(0.22, 0.2)))
    colors = shifted(four[order], hue=hue, saturation=dice.between(0.7, 1.3), value=value)
    return np.clip(colors + dice.random.normal(0, 0.03, colors.shape), 0, 1)
