"""A test of a generator as one page that a person likes to read: what was tested, how it did, and every object."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from epimesh.evaluation.metrics.metric import METRICS
from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.protocols.generator import GENERATOR, TRUE_VIEWS
from epimesh.evaluation.report.html import facts_list, from_markdown, page, table, wide
from epimesh.evaluation.report.objects_part import objects_part
from epimesh.evaluation.report.plots import per_object, strip_plot
from epimesh.evaluation.report.summary import Summary, summarise
from epimesh.evaluation.report.svg import number
from epimesh.evaluation.report.thumbnails import FOLDER, Thumbnails
from epimesh.files.meshes import write_whole

REPORT = "report.html"
_AGAINST_TRUE_VIEWS = ("novel_psnr", "silhouette_iou")
"""By these the true views are perfect: nothing to see, and a hundred decibels would press all others together."""
_PLOTTED = (*_AGAINST_TRUE_VIEWS, "warp_psnr", "volume_iou", "chamfer_visible", "f_score")


def write_page(title: str, rows: Sequence[Scores], given: Mapping[str, Any], out: Path, below: str = "") -> Path:
    """Writes report.html beside the scores, with the pictures that the test left there. Measures nothing again.

    Args:
        title: of the page.
        rows: of the test.
        given: see `generator_report.facts`.
        out: the folder of the results.
        below: Markdown that belongs below the table, such as published numbers.

    Raises:
        BadInput: the file cannot be written.
    """
    summaries = {(one.method, one.measure): one for one in summarise(rows)}
    parts = [
        _tested(given),
        _failures(rows),
        "<h2>Scores</h2>",
        _summary(rows, summaries),
        f"<p class=soft>{_READING}</p>",
        *_plots(rows, summaries),
        from_markdown(below),
        objects_part(rows, Thumbnails(out / FOLDER)),
    ]
    path = out / REPORT
    write_whole({path: page(title, parts).encode()})
    return path


_READING = (
    "Mean over objects, after the mean over seeds ± standard deviation over objects; below it the 95 % bootstrap "
    "interval of the mean. In the plots a dot is an object, the line across is the mean, the line along its interval. "
    "Volume IoU only where the truth is a closed solid that fills at least half of its hull."
)


def _tested(given: Mapping[str, Any]) -> str:
    protocol = given["protocol"]
    stages = [(stage["class"], _settings(stage["settings"])) for stage in given["stages"]]
    short = [
        ("objects", str(given["objects"])),
        ("pipeline", ", ".join(name for name, _ in stages) or "none, baselines only"),
        ("seeds", ", ".join(map(str, protocol["seeds"]))),
        ("photos", f"{protocol['photo_size']} pixels, elevation {protocol['elevation_deg']:g} degrees, azimuth 0"),
        ("frame", str(given["frame"])),
        ("alignment of shapes", str(protocol["shape"]["alignment"])),
        ("F-score at", f"{protocol['shape']['thresholds'][0]:g} scene units"),
        ("device", str(given["device"])),
    ]
    long = [*stages, *((f"weights {name}", str(identity)) for name, identity in given["weights"].items())]
    long += [(f"input {name}", str(content)) for name, content in given.get("inputs", {}).items()]
    long.append(("versions", ", ".join(f"{name} {version}" for name, version in given["versions"].items())))
    return f"{facts_list(short)}<details><summary>settings, hashes, versions</summary>{facts_list(long)}</details>"


def _settings(settings: Mapping[str, Any]) -> str:
    """All of them in a line; a stage within a stage in brackets."""
    said = [
        f"{name} {value['class']} ({_settings(value['settings'])})" if isinstance(value, Mapping) else f"{name} {value}"
        for name, value in settings.items()
    ]
    return ", ".join(said) or "no settings"


def _failures(rows: Sequence[Scores]) -> str:
    failed = [row for row in rows if row.failure is not None]
    if not failed:
        return ""
    named = "".join(
        f"<li>{escape(row.object)}, {escape(row.method)}"
        f"{'' if row.seed is None else f', seed {row.seed}'}: {escape(str(row.failure))}</li>"
        for row in failed
    )
    return f"<h2 class=bad>{len(failed)} of {len(rows)} answers failed</h2><ul class=bad>{named}</ul>"


def _summary(rows: Sequence[Scores], summaries: Mapping[tuple[str, str], Summary]) -> str:
    measures = [measure for measure in METRICS if any(measure == known for _, known in summaries)]
    lines = []
    for method in dict.fromkeys(row.method for row in rows):
        failed = sum(row.failure is not None for row in rows if row.method == method)
        cells = [_cell(summaries.get((method, measure))) for measure in measures]
        lines.append([escape(method), *cells, str(failed)])
    return table(["", *(METRICS[measure].title for measure in measures), "failures"], lines, main=GENERATOR)


def _cell(summary: Summary | None) -> str:
    if summary is None:
        return ""
    seeds = "" if summary.seed_spread is None else f"<br><small>seeds ± {number(summary.seed_spread)}</small>"
    return (
        f"{number(summary.mean)} <small>± {number(summary.spread)}</small><br><small>[{number(summary.low)}, "
        f"{number(summary.high)}] n={summary.objects}</small>{seeds}"
    )


def _plots(rows: Sequence[Scores], summaries: Mapping[tuple[str, str], Summary]) -> list[str]:
    found = []
    for measure in _PLOTTED:
        told = [row for row in rows if row.method != TRUE_VIEWS or measure not in _AGAINST_TRUE_VIEWS]
        values = per_object(told, measure)
        if values:
            own = {method: summaries[method, measure] for method in values}
            found.append(wide(strip_plot(METRICS[measure].title, values, own, GENERATOR)))
    return found
