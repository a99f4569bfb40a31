"""What was imagined of every object, beside what is true: the part of a report that people look at."""

from collections.abc import Mapping, Sequence
from html import escape

from epimesh.evaluation.metrics.metric import METRICS
from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.protocols.generator import GENERATOR
from epimesh.evaluation.report.html import picture, table
from epimesh.evaluation.report.svg import number
from epimesh.evaluation.report.thumbnails import (
    FRAMES,
    PHOTO,
    TRUE_TURN,
    TRUE_VIEWS,
    Thumbnails,
    subject_of,
    turn_of,
    views_of,
)

SHOWN = ("novel_psnr", "psnr", "silhouette_iou", "f_score", "chamfer_visible", "volume_iou")
"""Measures that sort the objects, most telling last."""
MOST_PICTURED = 80  # answers; beyond, only the first seed is shown, so that the page stays small


def objects_part(rows: Sequence[Scores], thumbnails: Thumbnails) -> str:
    """Every object, the worst first, and a choice of other orders."""
    subjects: dict[str, list[Scores]] = {}
    for row in rows:
        subjects.setdefault(subject_of(row), []).append(row)
    answers = [row for row in rows if row.method == GENERATOR]
    seeds = list(dict.fromkeys(row.seed for row in answers))
    if len(answers) > MOST_PICTURED:
        seeds = seeds[:1]
    known = [name for name in SHOWN if any(row[name] is not None for row in answers)]
    means = {name: {measure: _mean(own, measure) for measure in known} for name, own in subjects.items()}
    # Best last: by what most objects have, since the others could not be put in order.
    measures = sorted(known, key=lambda measure: sum(own[measure] is not None for own in means.values()))
    names = sorted(subjects, key=lambda name: _badness(means[name], measures[-1])) if measures else list(subjects)
    articles = [_article(name, subjects[name], means[name], seeds, thumbnails) for name in names]
    said = f"<p class=soft>Pictures are of seed {seeds[0]}.</p>" if len(answers) > MOST_PICTURED else ""
    return "\n".join(["<h2>Object by object</h2>", said, _orders(measures), '<div id="objects">', *articles, "</div>"])


def _mean(rows: Sequence[Scores], measure: str) -> float | None:
    """Over the generator's answers; None if there is nothing to mean."""
    known = [row[measure] for row in rows if row.method == GENERATOR]
    values = [float(value) for value in known if value is not None]
    return sum(values) / len(values) if values else None


def _badness(means: Mapping[str, float | None], measure: str) -> float:
    """The smaller, the worse; failures first, and last what just lacks this measure."""
    value = means[measure]
    if value is None:
        return float("inf") if any(other is not None for other in means.values()) else -float("inf")
    return value if METRICS[measure].higher_is_better else -value


def _orders(measures: Sequence[str]) -> str:
    """The choice of an order; the first is the one that the page comes in."""
    options = []
    for name in reversed(measures):
        worst = 1 if METRICS[name].higher_is_better else -1
        for sign, failed, said in ((worst, -1, "worst"), (-worst, 1, "best")):  # failures are the worst
            options.append(f'<option value="{_key(name)} {sign} {failed}">{said} {METRICS[name].title} first</option>')
    return f'<p class="screen"><select onchange="order(this)">{"".join(options)}</select></p>' if options else ""


def _key(measure: str) -> str:
    """A measure as the script of the page names it."""
    return measure.replace("_", "")


def _article(
    name: str,
    own: Sequence[Scores],
    means: Mapping[str, float | None],
    seeds: Sequence[int | None],
    thumbnails: Thumbnails,
) -> str:
    known = {measure: value for measure, value in means.items() if value is not None}
    data = "".join(f' data-{_key(measure)}="{value:.6g}"' for measure, value in known.items())
    said = ", ".join(f"{METRICS[measure].title} {number(value)}" for measure, value in known.items())
    failures = "".join(
        f'<p class="bad">FAILED {escape(_answer(row))}: {escape(row.failure)}</p>' for row in own if row.failure
    )
    notes = dict.fromkeys(row.note for row in own if row.note and row.method in (GENERATOR, "truth"))
    return (
        f'<article{data}><header><h3>{escape(name)}</h3><span class="soft">{escape(said)}</span></header>{failures}'
        + "".join(f'<p class="soft">{escape(note)}</p>' for note in notes)
        + (_pictures(name, seeds, thumbnails) or '<p class="soft">No pictures were kept of it.</p>')
        + f"{_scores(own)}</article>"
    )


def _answer(row: Scores) -> str:
    return row.method if row.seed is None else f"{row.method}, seed {row.seed}"


def _pictures(name: str, seeds: Sequence[int | None], thumbnails: Thumbnails) -> str:
    """The photo, the meshes turning together, and the strips of views one below the other."""
    many = len(seeds) > 1
    named = [(seed, f" (seed {seed})" if many else "") for seed in seeds]
    turns = [
        _figure(thumbnails.find(name, turn_of(seed)), f"reconstructed{said}", name, "turn") for seed, said in named
    ]
    turns.append(_figure(thumbnails.find(name, TRUE_TURN), "true shape", name, "turn"))
    strips = [_figure(thumbnails.find(name, views_of(seed)), f"imagined{said}", name, "strip") for seed, said in named]
    strips.append(_figure(thumbnails.find(name, TRUE_VIEWS), "true views", name, "strip"))
    photo = _figure(thumbnails.find(name, PHOTO), "photo", name, "")
    if not any([photo, *turns, *strips]):
        return ""
    slider = f'<input class="screen" type="range" min="0" max="{FRAMES - 1}" value="0" aria-label="turn" '
    slider = f'{slider}oninput="hold(this)">' if any(turns) else ""
    return f'<div class="seen">{photo}{"".join(turns)}</div>{slider}<div class="wide">{"".join(strips)}</div>'


def _figure(webp: bytes | None, caption: str, name: str, kind: str) -> str:
    if webp is None:
        return ""
    return f"<figure>{picture(webp, f'{caption} of {name}', kind)}<figcaption>{escape(caption)}</figcaption></figure>"


def _scores(own: Sequence[Scores]) -> str:
    """All answers about one object, behind a click."""
    measures = [measure for measure in METRICS if any(row[measure] is not None for row in own)]
    lines = []
    for row in own:
        values = [row[measure] for measure in measures]
        lines.append([escape(_answer(row)), *("" if value is None else number(value) for value in values)])
    scores = table(["", *(METRICS[measure].title for measure in measures)], lines)
    return f"<details><summary>all scores</summary>{scores}</details>"
