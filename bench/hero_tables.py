"""The lines that a run of Zero-to-Hero's benchmark keeps, and the tables made of them."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from hero_methods import COMPARED

from epimesh.evaluation.report.summary import bootstrap_interval
from epimesh.files.atomic import atomic_file

MEASURES = ("psnr", "object_psnr", "ssim", "silhouette_iou", "sharpness")
FEW = 5  # objects below which an interval over them says nothing


@dataclass(frozen=True)
class Answer:
    """One line: what a method said of an object with one seed. `variance` is over the seeds, the same in all lines."""

    key: str
    table: str
    method: str
    object: str
    seed: int
    evaluations: int
    seconds: float
    psnr: float
    object_psnr: float
    ssim: float
    silhouette_iou: float
    sharpness: float
    variance: float


def read(file: Path) -> list[Answer]:
    """The lines of an earlier run; none if there was none."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as lines:
        kinds = {field.name: field.type for field in fields(Answer)}
        return [Answer(**{name: kinds[name](value) for name, value in row.items()}) for row in csv.DictReader(lines)]


def write(answers: Sequence[Answer], file: Path) -> None:
    """Replaces the file as a whole."""
    with atomic_file(file) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, [field.name for field in fields(Answer)])
        writer.writeheader()
        writer.writerows(asdict(answer) for answer in answers)


def per_object(answers: Sequence[Answer], method: str, measure: str) -> np.ndarray:
    """Means over seeds, object by object in the order of their names."""
    found: dict[str, list[float]] = {}
    for answer in answers:
        if answer.method == method:
            found.setdefault(answer.object, []).append(getattr(answer, measure))
    return np.array([np.mean(found[name]) for name in sorted(found)])


def table_of(answers: Sequence[Answer], title: str) -> str:
    """Mean over objects ± standard deviation over seeds of that mean; variance of the colours over seeds."""
    lines = [
        f"### {title}",
        "",
        "| method | evaluations | " + " | ".join(MEASURES) + " | variance x 1000 | s at best |",
    ]
    lines.append("|---" * (len(MEASURES) + 4) + "|")
    for method in dict.fromkeys(answer.method for answer in answers):
        mine = [answer for answer in answers if answer.method == method]
        cells = [str(mine[0].evaluations)]
        for measure in MEASURES:
            seeds = sorted({answer.seed for answer in mine})
            means = [np.mean([getattr(one, measure) for one in mine if one.seed == seed]) for seed in seeds]
            spread = np.std(means, ddof=1) if len(means) > 1 else 0.0
            cells.append(f"{np.mean(means):.4g} ± {spread:.2g}")
        cells += [
            f"{1000 * np.mean([one.variance for one in mine]):.3f}",
            f"{min(one.seconds for one in mine):.1f}",  # the others load weights, too
        ]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def differences(answers: Sequence[Answer]) -> str:
    """What one method adds to another, paired by object, with the 95 % interval over objects drawn again and again."""
    lines = [
        "### Paired differences",
        "",
        "| method | against | PSNR dB | SSIM | silhouette IoU |",
        "|---|---|---|---|---|",
    ]
    made = {answer.method for answer in answers}
    for method, other in COMPARED:
        if {method, other} <= made:
            cells = [_difference(answers, method, other, name) for name in ("psnr", "ssim", "silhouette_iou")]
            lines.append(f"| {method} | {other} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _difference(answers: Sequence[Answer], method: str, other: str, measure: str) -> str:
    values = per_object(answers, method, measure) - per_object(answers, other, measure)
    if len(values) < FEW:
        return f"{values.mean():+.4f} (of {len(values)})"
    low, high = bootstrap_interval(values)
    told = f"{values.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
    return told + (" no measurable effect" if low <= 0 <= high else "")
