"""Surface textures: a pattern of two colours, drawn at random."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from epimesh.data.procedural.bank import SIZE, TextureBank
from epimesh.data.procedural.colors import Color, near
from epimesh.data.procedural.dice import Dice, Number

Image = Float[np.ndarray, "T T 3"]
_Y, _X = np.mgrid[:SIZE, :SIZE] / SIZE
_WOODS = np.array([(0.55, 0.36, 0.2), (0.72, 0.52, 0.33), (0.35, 0.2, 0.12), (0.82, 0.68, 0.48), (0.5, 0.25, 0.13)])


@dataclass(frozen=True, eq=False)
class Paint:
    """What a pattern is made from.

    Args:
        dice: random choices.
        bank: raw material.
        main: colour of most of the surface.
        second: colour of the pattern.
    """

    dice: Dice
    bank: TextureBank
    main: Color
    second: Color

    def noise(self) -> Float[np.ndarray, "T T"]:
        """A piece of noise in [0, 1]."""
        return self.cropped(self.dice.choose(self.bank.noise))

    def cropped(self, image: np.ndarray, zooms: tuple[int, ...] = (1, 1, 2, 2, 4)) -> np.ndarray:
        """A random piece of a tileable image, magnified by one of the zooms, in texture size."""
        size = len(image) // self.dice.choose(zooms)
        top, left = self.dice.random.integers(0, len(image), 2)
        steps = np.arange(SIZE) * size // SIZE
        piece = image[(top + steps) % len(image)][:, (left + steps) % len(image)]
        return piece.swapaxes(0, 1) if self.dice.chance(0.5) else piece

    def shades(self, count: int, spread: Number, share_of_second: Number = 0.0) -> Float[np.ndarray, "M 3"]:
        """Many colours like the main one, some like the second."""
        return np.array(
            [
                near(self.dice, self.second if self.dice.chance(share_of_second) else self.main, spread)
                for _ in range(count)
            ]
        )

    def pick(self, mask: np.ndarray) -> Image:
        """The second colour where the mask is true, else the main one."""
        return np.where(mask[..., None], self.second, self.main)


def ramp(value: np.ndarray, colors: list[Color]) -> Image:
    """Colours between the given ones, for values from 0 to 1."""
    table = np.asarray(colors)
    place = np.clip(value, 0, 1) * (len(table) - 1)
    low = np.minimum(place.astype(int), len(table) - 2)
    share = (place - low)[..., None]
    return table[low] * (1 - share) + table[low + 1] * share


def _flat(paint: Paint) -> Image:
    return paint.main * (1 + paint.dice.between(0, 0.06) * (paint.noise() - 0.5)[..., None])


def _clouds(paint: Paint) -> Image:
    dice = paint.dice
    last = paint.second if dice.chance(0.5) else near(dice, paint.main, 0.35)
    value = (paint.noise() - 0.5) * dice.between(1, 2.2) + 0.5
    return ramp(value, [near(dice, paint.main, 0.3), paint.main, last])


def _grain(paint: Paint) -> Image:
    rough = paint.cropped(paint.bank.noise[paint.dice.count(0, 5)])
    return paint.main * (1 + paint.dice.between(0.2, 0.8) * (rough - 0.5)[..., None])


def _stripes(paint: Paint) -> Image:
    dice = paint.dice
    along = (_X, _Y, _X + _Y)[dice.choose((0, 1, 2), (0.4, 0.45, 0.15))]
    wobble = dice.between(0, 0.15) * paint.noise() if dice.chance(0.3) else 0.0
    phase, width = (along * dice.count(1, 8) + dice.between(0, 1) + wobble) % 1, dice.between(0.2, 0.8)
    image = paint.pick(phase > width)
    if dice.chance(0.3):
        image[(phase - width) % 1 < 0.12] = near(dice, paint.second, 0.5)
    return image


def _checks(paint: Paint) -> Image:
    number = 2 * paint.dice.count(1, 5)
    columns, rows = (_X * number).astype(int) % 2 == 1, (_Y * number).astype(int) % 2 == 1
    if paint.dice.chance(0.4):
        return (paint.pick(columns) + paint.pick(rows)) / 2
    return paint.pick(columns ^ rows)


def _dots(paint: Paint) -> Image:
    number = 2 * paint.dice.count(1, 4)
    offset = (np.floor(_Y * number) % 2) * 0.5 if paint.dice.chance(0.5) else 0.0
    distance = np.hypot((_X * number + offset) % 1 - 0.5, (_Y * number) % 1 - 0.5)
    return paint.pick(distance < paint.dice.between(0.15, 0.4))


def _cells(paint: Paint) -> Image:
    kind = paint.dice.count(0, 3)
    if paint.dice.chance(0.5):
        return paint.pick(paint.cropped(paint.bank.cell_edges[kind], (1,)) < paint.dice.between(0.04, 0.2))
    return ramp(paint.cropped(paint.bank.cell_centres[kind], (1,)), [paint.main, paint.second])


def _leaves(paint: Paint) -> Image:
    return paint.shades(16, 0.3, 0.35)[paint.cropped(paint.dice.choose(paint.bank.leaves), (1, 2)) % 16]


def _patches(paint: Paint) -> Image:
    return paint.shades(16, 0.3, 0.35)[paint.cropped(paint.dice.choose(paint.bank.cells[:3]), (1, 2)) % 16]


def _wood(paint: Paint) -> Image:
    dice = paint.dice
    base = paint.main if dice.chance(0.4) else near(dice, dice.row(_WOODS), 0.15)
    fibre = paint.cropped(dice.choose(paint.bank.fibres), (1, 2))
    bands = 0.5 + 0.5 * np.sin(fibre * dice.between(2, 8) * 2 * np.pi)
    return ramp(bands, [base, base * dice.between(0.6, 0.85)]) * (1 + 0.25 * (fibre - 0.5)[..., None])


def _marble(paint: Paint) -> Image:
    dice = paint.dice
    phase = _X * dice.count(0, 2) + _Y * dice.count(0, 2) + paint.noise() * dice.between(2, 5)
    veins = np.abs(np.sin(phase * np.pi)) ** dice.between(0.3, 1.5)
    return ramp(veins, [paint.second, paint.main])


def _gradient(paint: Paint) -> Image:
    dice = paint.dice
    image = ramp(_Y if dice.chance(0.7) else _X, [paint.main, paint.second])
    if dice.chance(0.3):
        image[dice.between(0.6, 0.9) < _Y] = near(dice, paint.second, 0.5)
    return image


def _bricks(paint: Paint) -> Image:
    rows, columns = 2 * paint.dice.count(2, 5), paint.dice.count(2, 5)
    row = np.floor(_Y * rows)
    along = _X * columns + 0.5 * (row % 2)
    mortar = (along % 1 < 0.06) | ((_Y * rows) % 1 < 0.12)
    number = ((np.floor(along) % columns) * 7 + row * 3).astype(int) % 16
    return np.where(mortar[..., None], paint.second, paint.shades(16, 0.12)[number])


def photo(paint: Paint) -> Image:
    """A picture of a material, half of the time in the object's own colour."""
    dice = paint.dice
    image = paint.cropped(dice.choose(paint.bank.photos), (1, 2)) / 255
    if dice.chance(0.5):
        image = image * (paint.main / np.maximum(image.mean((0, 1)), 0.05)) ** dice.between(0.3, 1)
    return image


_PATTERNS: tuple[tuple[Callable[[Paint], Image], float], ...] = (
    (_flat, 0.32),
    (_clouds, 0.13),
    (_grain, 0.10),
    (_wood, 0.07),
    (_stripes, 0.06),
    (_cells, 0.05),
    (_leaves, 0.04),
    (_marble, 0.04),
    (_gradient, 0.04),
    (_checks, 0.03),
    (_dots, 0.03),
    (_bricks, 0.03),
    (_patches, 0.03),
)
_PHOTO_SHARE = 0.2


def surface(paint: Paint) -> Image:
    """Any of the patterns, sometimes soiled."""
    if paint.bank.photos and paint.dice.chance(_PHOTO_SHARE):
        return np.clip(photo(paint), 0, 1)
    draw = paint.dice.choose([draw for draw, _ in _PATTERNS], [weight for _, weight in _PATTERNS])
    image = draw(paint)
    if draw is not _flat and paint.dice.chance(0.4):
        image = image * (1 + 0.25 * (paint.noise() - 0.5)[..., None])
    return np.clip(image, 0, 1)


def as_bytes(image: Image) -> UInt8[np.ndarray, "T T 3"]:
    """The image in 8 bits."""
    return (image.clip(0, 1) * 255).round().astype(np.uint8)
