"""The table of a generator test: means with their uncertainty, per method, and everything needed to repeat it."""

import csv
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from epimesh import __version__, weights
from epimesh.evaluation.metrics.metric import METRICS
from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.protocols.generator import GENERATOR, GeneratorTest
from epimesh.evaluation.report.summary import Summary, summarise
from epimesh.pipeline.contracts import Stage, settings
from epimesh.pipeline.fingerprint import weights_of

AGREEMENT = (
    "Agreement of views that follow each other in azimuth, whatever the truth. Warp: colours carried into the "
    "next view by true depth (own warp: by that of the reconstructed surface). Matches per pair: SIFT features on "
    "each other's epipolar lines. Reprojection: how far true depth carries them from their match, median. Re- "
    "rendered: the views against the reconstructed surface. Empty pictures agree perfectly, and the true views do "
    "not: compare with theirs."
)
SCALED = "objects scaled by up to 1 so that no view is clipped"
_VERSIONS_OF = ("torch", "diffusers", "numpy", "scipy", "open3d", "open3d-cpu", "scikit-image")


def facts(test: GeneratorTest, source: str, frame: str = SCALED) -> dict[str, Any]:
    """What a reader needs to repeat the numbers.

    Args:
        test: what was measured, and how.
        source: which objects.
        frame: how the objects stand in the pictures.
    """
    used = [stage for stage in test.stages() if stage is not None]
    sources = [name for stage in used for name in weights_of(stage)]
    return {
        "objects": source,
        "frame": frame,
        "protocol": asdict(test.protocol),
        "agreement": test.agreement,
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


def write_report(rows: Sequence[Scores], given: dict[str, Any], out: Path, below: str = "") -> str:
    """Writes scores.csv, summary.json and table.md into `out`. Returns the table, with what else stands `below` it."""
    with (out / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*(field.name for field in fields(Scores) if field.name != "values"), *METRICS])
        writer.writeheader()
        writer.writerows(_flat(row) for row in rows)
    summaries = summarise(rows)
    failures = [row for row in rows if row.failure is not None]
    content = {
        **given,
        "summaries": [asdict(summary) for summary in summaries],
        "failures": [_flat(row) for row in failures],
    }
    (out / "summary.json").write_text(json.dumps(content, indent=1))
    text = markdown(rows, given) + below
    (out / "table.md").write_text(text)
    return text


def _flat(row: Scores) -> dict[str, Any]:
    """One line of a table: what it is about, then what was measured."""
    about = asdict(row)
    values = about.pop("values")
    return {**about, **values}


def markdown(rows: Sequence[Scores], given: dict[str, Any]) -> str:
    """The table for people: mean [95 % interval] ± standard deviation over objects."""
    summaries = {(summary.method, summary.measure): summary for summary in summarise(rows)}
    measures = [measure for measure in METRICS if any(measure == known for _, known in summaries)]
    lines = ["| method | " + " | ".join(METRICS[measure].title for measure in measures) + " | failures |"]
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


def _explanation(rows: Sequence[Scores], given: dict[str, Any]) -> list[str]:
    protocol = given["protocol"]
    lines = [
        "Mean over objects (after the mean over seeds) [95 % bootstrap interval over objects] ± standard deviation "
        "over objects. Volume IoU only where the truth is a closed solid of at least half its hull's volume.",
        f"Photo at elevation {protocol['elevation_deg']:g}, azimuth 0, told to the generator; seeds "
        f"{list(protocol['seeds'])}; alignment {protocol['shape']['alignment']}; F-score at "
        f"{protocol['shape']['thresholds'][0]:g} scene units; {given['frame']}.",
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
        told = ", ".join(f"{METRICS[name].title} {value:.4f}" for name, value in spreads.items())
        lines.append(f"Standard deviation over seeds of the generator's means: {told}.")
    if given["agreement"]:
        lines.append(AGREEMENT)
    for note in dict.fromkeys((row.method, row.note) for row in rows if row.note):
        named = dict.fromkeys(row.object for row in rows if (row.method, row.note) == note)
        lines.append(f"{note[0]}, {note[1]}: {len(named)} object(s): {', '.join(named)}.")
    lines += [f"FAILED {row.object}, {row.method}, seed {row.seed}: {row.failure}" for row in rows if row.failure]
    return lines
