"""Two shapes compared on one page: both turning, where they differ, how much of them lies near the other."""

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.evaluation.metrics.alignment import MODES, align
from epimesh.evaluation.metrics.shapes import ShapeReport
from epimesh.evaluation.metrics.surface_distance import NearestOnMesh, sample_surface
from epimesh.evaluation.report.html import facts_list, page, picture, table, wide
from epimesh.evaluation.report.shape_table import shape_lines
from epimesh.evaluation.report.svg import Scale, axis, curve, drawing, line, words
from epimesh.evaluation.report.thumbnails import FRAMES, turn_strip, webp
from epimesh.files.meshes import write_whole
from epimesh.mesh import Mesh
from epimesh.rendering.turntable import reach_of

FAR = 0.05  # scene units; from here on a place is as wrong as can be
_CURVE_POINTS = 20_000
_NEAR_RGB, _FAR_RGB = (0.85, 0.87, 0.88), (0.75, 0.16, 0.05)
_LEFT, _WIDTH, _TOP, _HEIGHT = 50.0, 560.0, 28.0, 180.0


def write_shape_page(
    prediction: Mesh, truth: Mesh, report: ShapeReport, read: Sequence[tuple[str, str]], path: Path
) -> None:
    """Writes the page.

    Args:
        prediction: as it was compared, before the alignment of the report's protocol.
        truth: as it was compared.
        report: what was measured.
        read: which files these are and how they were understood, in words.
        path: of the HTML file.

    Raises:
        BadInput: the file cannot be written.
    """
    protocol = report.protocol
    placed = align(prediction, truth, protocol.alignment, protocol.seed).mesh
    how = [
        *read,
        ("alignment", f"{protocol.alignment}: {MODES[protocol.alignment]}"),
        ("points", f"{protocol.samples} on each surface, seed {protocol.seed}"),
        ("distances", "Euclidean, in scene units: the true object is 1 long"),
    ]
    lines = [
        [escape(name), escape(value), f"<small>{escape(meaning)}</small>"]
        for name, value, meaning in shape_lines(report)
    ]
    notes = "".join(f'<p class="bad">note: {escape(note)}</p>' for note in report.notes)
    parts = [
        facts_list(how),
        table(["", "", ""], lines),
        notes,
        _turns(placed, truth),
        _curves(placed, truth, protocol.seed),
    ]
    write_whole({path: page("A predicted shape and the true one", parts).encode()})


def _turns(prediction: Mesh, truth: Mesh) -> str:
    """Both shapes, and both again, coloured by how far each place is from the other shape."""
    reach = max(reach_of(prediction), reach_of(truth))
    shown = {
        "prediction": prediction,
        "truth": truth,
        "prediction, red where far from the truth": coloured_by_distance(prediction, truth),
        "truth, red where far from the prediction": coloured_by_distance(truth, prediction),
    }
    figures = "".join(
        f"<figure>{picture(webp(turn_strip(mesh, reach)), f'{what}, turning', 'turn')}"
        f"<figcaption>{escape(what)}</figcaption></figure>"
        for what, mesh in shown.items()
    )
    slider = f'<input class="screen" type="range" min="0" max="{FRAMES - 1}" value="0" aria-label="turn" '
    legend = f'<p class="soft">Grey places lie on the other shape, red ones {FAR:g} scene units or more away.</p>'
    return f'<article><div class="seen">{figures}</div>{slider}oninput="hold(this)">{legend}</article>'


def coloured_by_distance(mesh: Mesh, other: Mesh) -> Mesh:
    """The mesh with every vertex grey where it lies on the other mesh, and red where it is `FAR` or more away."""
    distance, _ = NearestOnMesh(other).find(mesh.vertices)
    share = (distance / FAR).clamp(0, 1)[:, None]
    rgb = torch.lerp(torch.tensor(_NEAR_RGB), torch.tensor(_FAR_RGB), share)
    return replace(mesh, vertex_rgb=rgb, uv=None, texture=None)


def _curves(prediction: Mesh, truth: Mesh, seed: int) -> str:
    """Which share of each surface lies within a distance of the other."""
    scale, bottom = Scale(0.0, 2 * FAR, _LEFT, _WIDTH - 10), _TOP + _HEIGHT
    parts = [words(0.0, 14.0, "share of the surface within a distance of the other, in scene units", kind="title")]
    parts.append(axis(scale, _TOP, bottom))
    for share in (0.0, 0.5, 1.0):
        y = bottom - share * _HEIGHT
        parts += [line(_LEFT, y, _WIDTH - 10, y, kind="grid"), words(_LEFT - 8, y + 4, f"{share:.0%}", anchor="end")]
    named = (("truth near prediction (recall)", "other"), ("prediction near truth (precision)", "main"))
    # The main curve comes last: where both are the same, it is the one to be seen.
    for row, (pair, (name, kind)) in enumerate(zip(((truth, prediction), (prediction, truth)), named, strict=True)):
        parts.append(curve(_shares(_distances(*pair, seed), scale, bottom), kind=kind))
        y = bottom - 14 - 18 * row
        parts += [line(_WIDTH - 250, y - 4, _WIDTH - 230, y - 4, kind=kind), words(_WIDTH - 224, y, name)]
    return wide(drawing(_WIDTH, bottom + 20, parts, "Share of each surface within a distance of the other"))


def _distances(start: Mesh, to: Mesh, seed: int) -> Float[Tensor, "N"]:
    return NearestOnMesh(to).find(sample_surface(start, _CURVE_POINTS, seed).points)[0]


def _shares(distance: Float[Tensor, "N"], scale: Scale, bottom: float) -> list[tuple[float, float]]:
    """The curve's positions: 60 steps from no distance to the end of the scale."""
    steps = [scale.high * step / 60 for step in range(61)]
    shares = [float((distance <= step).double().mean()) for step in steps]
    return [(scale.at(step), bottom - share * _HEIGHT) for step, share in zip(steps, shares, strict=True)]
