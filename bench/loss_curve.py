"""Draws the losses that `scripts/train_small_epipolar.py` leaves behind: means of a hundred steps.

python bench/loss_curve.py OUT.svg FOLDER/loss.csv
"""

import argparse
import csv
from pathlib import Path

from epimesh.evaluation.report.svg import Scale, axis, curve, drawing, line, number, words

WIDTH, HEIGHT, LEFT, TOP = 560, 240, 60, 16
TOGETHER = 10


def means(file: Path) -> list[tuple[float, float]]:
    """Steps and means of losses."""
    with file.open(newline="") as lines:
        rows = [(float(row["step"]), float(row["loss"])) for row in csv.DictReader(lines)]
    groups = [rows[start : start + TOGETHER] for start in range(0, len(rows) - TOGETHER + 1, TOGETHER)]
    return [(group[-1][0], sum(loss for _, loss in group) / TOGETHER) for group in groups]


def plot(points: list[tuple[float, float]]) -> str:
    """The curve with its axes."""
    across = Scale(0, points[-1][0], LEFT, WIDTH - 16)
    up = Scale.around([loss for _, loss in points], HEIGHT - 32, TOP)
    parts = [axis(across, TOP, HEIGHT - 32), words(WIDTH - 16, HEIGHT - 2, "step", kind="soft", anchor="end")]
    for tick in up.ticks():
        parts.append(line(LEFT, up.at(tick), WIDTH - 16, up.at(tick), kind="grid"))
        parts.append(words(LEFT - 6, up.at(tick) + 4, number(tick), kind="soft", anchor="end"))
    parts.append(curve([(across.at(step), up.at(loss)) for step, loss in points], kind="main"))
    return drawing(WIDTH, HEIGHT, parts, "The loss of a training, by steps")


def main() -> None:
    """Draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("losses", type=Path)
    given = parser.parse_args()
    given.out.write_text(plot(means(given.losses)) + "\n")


if __name__ == "__main__":
    main()
