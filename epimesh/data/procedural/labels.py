"""Printed labels with bands, shapes and words nobody has registered."""

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from epimesh.data.procedural.bank import SIZE
from epimesh.data.procedural.colors import draw_palette, near
from epimesh.data.procedural.patterns import Image, Paint, as_bytes, surface

_SYLLABLES = "ab ne mo sol tri vex lum pa cor den fil hal ixo jun ket nova oro pil qua ros sun tek uma vit wax yol zen"


def label(paint: Paint) -> Image:
    """A printed texture over a plain or patterned ground."""
    dice = paint.dice
    ground = surface(paint) if dice.chance(0.4) else np.broadcast_to(paint.main, (SIZE, SIZE, 3))
    picture = Picture.fromarray(as_bytes(ground))
    draw = ImageDraw.Draw(picture)
    neutral = np.ones(3) if dice.chance(0.6) else np.full(3, 0.05)
    inks = [paint.second, near(dice, paint.second, 0.6), draw_palette(dice, 1)[0], neutral]
    colors = ["#{:02x}{:02x}{:02x}".format(*(ink.clip(0, 1) * 255).astype(int)) for ink in inks]
    for _ in range(dice.count(1, 3)):
        _shape(paint, draw, dice.choose(colors))
    if dice.chance(0.3):
        _sticker(paint, picture)
    for _ in range(dice.count(1, 4)):
        _word(paint, draw, dice.choose(colors))
    if dice.chance(0.4):
        _small_print(paint, draw, dice.choose(colors))
    return np.asarray(picture) / 255


def _shape(paint: Paint, draw: ImageDraw.ImageDraw, color: str) -> None:
    dice, place = paint.dice, paint.dice.count(0, SIZE)
    kind = dice.choose(("band", "column", "ellipse", "polygon"), (0.4, 0.2, 0.2, 0.2))
    if kind == "band":
        draw.rectangle((0, place, SIZE, place + dice.count(6, 50)), fill=color)
    elif kind == "column":
        draw.rectangle((place, 0, place + dice.count(6, 40), SIZE), fill=color)
    elif kind == "ellipse":
        x, y, radius = dice.count(10, SIZE - 10), dice.count(10, SIZE - 10), dice.count(8, 40)
        draw.ellipse((x - radius, y - radius * dice.between(0.6, 1), x + radius, y + radius), fill=color)
    else:
        corners = dice.random.integers(0, SIZE, (dice.choose((3, 5)), 2))
        draw.polygon([(int(x), int(y)) for x, y in corners], fill=color)


def _word(paint: Paint, draw: ImageDraw.ImageDraw, color: str) -> None:
    dice = paint.dice
    font = ImageFont.load_default(dice.choose((10, 14, 20, 30, 42)))
    word = "".join(dice.choose(_SYLLABLES.split()) for _ in range(dice.count(1, 3)))
    word = word.upper() if dice.chance(0.6) else word.title()
    left = max(2.0, (SIZE - draw.textlength(word, font=font)) / 2) if dice.chance(0.6) else 6.0
    draw.text((left, dice.count(0, SIZE - 16)), word, font=font, fill=color)


def _small_print(paint: Paint, draw: ImageDraw.ImageDraw, color: str) -> None:
    dice, top = paint.dice, paint.dice.count(SIZE // 2, SIZE - 20)
    for line in range(dice.count(2, 5)):
        draw.line((8, top + 5 * line, dice.count(60, SIZE - 8), top + 5 * line), fill=color)


def _sticker(paint: Paint, picture: Picture.Image) -> None:
    """A small colourful picture, as packaging shows."""
    dice = paint.dice
    color = draw_palette(dice, 1)[0]
    table = np.array([near(dice, color, 0.25) for _ in range(12)])
    image = table[paint.cropped(dice.choose(paint.bank.leaves), (2,))[:44, :44] % 12]
    picture.paste(Picture.fromarray(as_bytes(image)), (dice.count(4, SIZE - 48), dice.count(4, SIZE - 48)))
