"""The table of a generator test: means with their uncertainty, per method, and everything needed to repeat it."""

import csv
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from epimesh import __version__, weights
from epimesh.evaluation.generator import GENERATOR, GeneratorTest
from epimesh.evaluation.judging import Row
from epimesh.pipeline.contracts import Stage, settings
from epimesh.pipeline.fingerprint import weights_of

MEASURES = {
    "psnr": "PSNR dB",
    "novel_psnr": "novel views",
    "object_psnr": "object",
    "ssim": "SSIM",
    "silhouette_iou": "silhouette IoU",
    "sharpness": "sharpness",
    "volume_iou": "volume IoU",
    "chamfer_visible": "Chamfer seen",
    "chamfer_surface": "Chamfer all",
    "f_score": "F-score",
    "seconds": "s",
}
_RESAMPLES = 2000
_VERSIONS_OF = ("torch", "diffusers", "numpy", "scipy", "open3d", "open3d-cpu", "scikit-image")


@dataclass(frozen=True)
class Summary:
    """One measure of one method.

    Args:
        method: as in the rows.
        measure: name of the field of `Row`.
        mean: over objects, after the mean over seeds.
        low: 2.5 % quantile of the mean under resampling of the objects.
        high: 97.5 % quantile.
        spread: standard deviation over objects.
        seed_spread: standard deviation over seeds of the mean over objects; None with fewer than two seeds.
        objects: how many have this measure.
    """

    method: str
    measure: str
    mean: float
    low: float
    high: float
    spread: float
    seed_spread: float | None
    objects: int


def summarise(rows: Sequence[Row]) -> list[Summary]:
    """Every measure of every method, in the order of their first appearance."""
    found = []
    for method in dict.fromkeys(row.method for row in rows):
        for measure in MEASURES:
            answers = [row for row in rows if row.method == method and getattr(row, measure) is not None]
            if answers:
                found.append(_summary(method, measure, answers))
    return found


def _summary(method: str, measure: str, rows: Sequence[Row]) -> Summary:
    per_object: dict[str, list[float]] = {}
    per_seed: dict[int | None, list[float]] = {}
    for row in rows:
        value = float(getattr(row, measure))
        per_object.setdefault(row.object, []).append(value)
        per_seed.setdefault(row.seed, []).append(value)
    values = np.array([np.mean(of_seeds) for of_seeds in per_object.values()])
    low, high = bootstrap_interval(values)
    means = [np.mean(of_objects) for of_objects in per_seed.values()]
    return Summary(
        method=method,
        measure=measure,
        mean=float(values.mean()),
        low=low,
        high=high,
        spread=float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        seed_spread=float(np.std(means, ddof=1)) if len(means) > 1 else None,
        objects=len(values),
    )


def bootstrap_interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the mean when the objects are drawn again and again, with replacement."""
    drawn = np.random.default_rng(seed).integers(0, len(values), (_RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(1), [0.025, 0.975])
    return float(low), float(high)


def facts(test: GeneratorTest, source: str) -> dict[str, Any]:
    """What a reader needs to repeat the numbers."""
    pipeline = test.pipeline
    used = [] if pipeline is None else [pipeline.views, pipeline.decode]
    if pipeline is not None and test.protocol.mesh:
        used += [stage for stage in (pipeline.reconstruct, pipeline.refine, pipeline.mesh) if stage is not None]
    sources = [name for stage in used for name in weights_of(stage)]
    return {
        "objects": source,
        "protocol": asdict(test.protocol),
        "stages": [_stage_facts(stage) for stage in used],
        "weights": {name: weights.identity(name) for name in dict.fromkeys(sources)},
        "device": test.runtime.device,
        "versions": {"epimesh": __version__, "python": platform.python_version(), **_versions()},
    }


def _stage_facts(stage: Stage[Any]) -> dict[str, Any]:
    given = {
        name: _stage_facts(value) if isinstance(value, Stage) else repr(value)
        for name, value in settings(stage).items()
    }
    return {"class": type(stage).__name__, "version": stage.version, "settings": given}


def _versions() -> dict[str, str]:
    installed = {name.lower(): found for found in metadata.distributions() if (name := found.metadata["Name"])}
    return {name: installed[name].version for name in _VERSIONS_OF if name in installed}


def write_report(rows: Sequence[Row], given: dict[str, Any], out: Path) -> str:
    """Writes scores.csv, summary.json and table.md into `out`. Returns the table."""
    with (out / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    summaries = summarise(rows)
    failures = [row for row in rows if row.failure is not None]
    content = {
        **given,
        "summaries": [asdict(summary) for summary in summaries],
        "failures": [asdict(row) for row in failures],
    }
    (out / "summary.json").write_text(json.dumps(content, indent=1))
    text = markdown(rows, given)
    (out / "table.md").write_text(text)
    return text


def markdown(rows: Sequence[Row], given: dict[str, Any]) -> str:
    """The table for people: mean [95 % interval] ± standard deviation over objects."""
    summaries = {(summary.method, summary.measure): summary for summary in summarise(rows)}
    measures = [measure for measure in MEASURES if any(measure == known for _, known in summaries)]
    lines = ["| method | " + " | ".join(MEASURES[measure] for measure in measures) + " | failures |"]
    lines.append("|---" * (len(measures) + 2) + "|")
    for method in dict.fromkeys(row.method for row in rows):
        cells = [_cell(summaries.get((method, measure))) for measure in measures]
        failed = sum(row.failure is not None for row in rows if row.method == method)
        lines.append(f"| {method} | " + " | ".join(cells) + f" | {failed} |")
    return "\n".join([*lines, "", *_explanation(rows, given)]) + "\n"


def _cell(summary: Summary | None) -> str:
    if summary is None:
        return ""
    digits = 2 if abs(summary.mean) >= 2 else 3 if abs(summary.mean) >= 0.1 else 4
    mean, low, high, spread = (
        f"{value:.{digits}f}" for value in (summary.mean, summary.low, summary.high, summary.spread)
    )
    return f"{mean} [{low}, {high}] ± {spread} (n={summary.objects})"


def _explanation(rows: Sequence[Row], given: dict[str, Any]) -> list[str]:
    protocol = given["protocol"]
    lines = [
        "Mean over objects (after the mean over seeds) [95 % bootstrap interval over objects] ± standard deviation "
        "over objects. Volume IoU only where the truth is a closed solid of at least half its hull's volume.",
        f"Photo at elevation {protocol['elevation_deg']:g}, azimuth 0, told to the generator; seeds "
        f"{list(protocol['seeds'])}; alignment {protocol['shape']['alignment']}; F-score at "
        f"{protocol['shape']['thresholds'][0]:g} scene units; objects scaled by up to 1 so that no view is clipped.",
        f"Objects: {given['objects']}. Versions: {given['versions']}. Device: {given['device']}.",
    ]
    lines += [f"Stage {stage['class']}: {stage['settings']}" for stage in given["stages"]]
    lines += [f"Weights {name}: {identity}" for name, identity in given["weights"].items()]
    spreads = {
        summary.measure: summary.seed_spread
        for summary in summarise(rows)
        if summary.method == GENERATOR and summary.seed_spread is not None
    }
    if spreads:
        told = ", ".join(f"{MEASURES[name]} {value:.4f}" for name, value in spreads.items())
        lines.append(f"Standard deviation over seeds of the generator's means: {told}.")
    lines += [f"FAILED {row.object}, {row.method}, seed {row.seed}: {row.failure}" for row in rows if row.failure]
    return lines
