"""A chart of lines as a picture, for commands that leave one beside their numbers."""

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw

from epimesh.evaluation.report.svg import Scale, number

INK, GRID = (34, 34, 34), (221, 221, 221)
COLORS = ((11, 110, 153), (194, 84, 45), (63, 143, 90), (130, 90, 160), (168, 168, 168))
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 60.0, 700.0, 40.0, 350.0


def line_chart(title: str, across: str, xs: Sequence[float], lines: Mapping[str, Sequence[float]]) -> Image.Image:
    """Lines over the same x values, each named at the top in its colour.

    Args:
        title: what is drawn.
        across: what the x axis is.
        xs: of all lines.
        lines: y values by name; at most five lines.
    """
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    x_scale = Scale.around(list(xs), LEFT, RIGHT)
    y_scale = Scale.around([value for line in lines.values() for value in line], BOTTOM, TOP)
    for tick in y_scale.ticks():
        draw.line([(LEFT, y_scale.at(tick)), (RIGHT, y_scale.at(tick))], GRID)
        draw.text((8, y_scale.at(tick) - 6), number(tick), INK)
    for tick in x_scale.ticks():
        draw.text((x_scale.at(tick) - 8, BOTTOM + 6), number(tick), INK)
    draw.text((LEFT, 6), title, INK)
    draw.text((LEFT, BOTTOM + 24), across, INK)
    for index, ((name, line), color) in enumerate(zip(lines.items(), COLORS, strict=False)):
        draw.line([(x_scale.at(x), y_scale.at(y)) for x, y in zip(xs, line, strict=True)], color, 2)
        draw.text((LEFT + 130 * index, 22), name, color)
    return picture
