"""How the objects are spread by one measure: a dot per object, a line per method, as an SVG."""

from collections.abc import Mapping, Sequence
from math import isfinite

from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.report.summary import Summary
from epimesh.evaluation.report.svg import Scale, axis, dot, drawing, line, number, words

_LEFT, _WIDTH, _ROW = 190.0, 820.0, 26.0


def strip_plot(
    title: str,
    values: Mapping[str, Mapping[str, float]],
    summaries: Mapping[str, Summary],
    main: str,
) -> str:
    """One line per method: its objects as dots, its mean with the 95 % interval as a bar.

    Args:
        title: of the measure.
        values: per method and object.
        summaries: per method.
        main: the method that stands out.
    """
    everything = [value for of_objects in values.values() for value in of_objects.values()]
    scale, bottom = Scale.around(everything, _LEFT, _WIDTH - 60), 30 + _ROW * len(values)
    parts = [words(0.0, 14.0, title, kind="title"), axis(scale, 24.0, bottom)]
    for row, (method, of_objects) in enumerate(values.items()):
        y, kind = 30 + _ROW * (row + 0.5), "main" if method == main else "other"
        parts.append(words(_LEFT - 10, y + 4, method, anchor="end"))
        for name, value in of_objects.items():
            parts.append(dot(scale.at(value), y, kind=kind, name=f"{name}: {number(value)}"))
        summary = summaries[method]
        parts.append(line(scale.at(summary.low), y, scale.at(summary.high), y))
        parts.append(line(scale.at(summary.mean), y - 8, scale.at(summary.mean), y + 8))
        parts.append(words(_WIDTH - 50, y + 4, number(summary.mean)))
    return drawing(_WIDTH, bottom + 22, parts, f"{title}, per object and method")


def per_object(rows: Sequence[Scores], measure: str) -> dict[str, dict[str, float]]:
    """Means over seeds (and photos) of one measure, per method and object, where it was measured."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        value = row[measure]
        if value is not None and isfinite(value):
            found.setdefault(row.method, {}).setdefault(row.object, []).append(float(value))
    return {
        method: {name: sum(values) / len(values) for name, values in of_objects.items()}
        for method, of_objects in found.items()
    }
