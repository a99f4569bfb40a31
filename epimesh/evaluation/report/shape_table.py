"""A shape report as a table for people."""

from epimesh.evaluation.metrics.alignment import MODES
from epimesh.evaluation.metrics.shapes import ShapeReport


def shape_lines(report: ShapeReport) -> list[tuple[str, str, str]]:
    """Every measure: its name, its value, and what it means."""
    rows = [
        ("Chamfer, seen", f"{report.chamfer_visible:.4f}", "between what 16 ring cameras see; 0 is equal"),
        ("Chamfer, all", f"{report.chamfer_surface:.4f}", "all over the surfaces; 0 is equal"),
        ("normals", f"{report.normal_consistency:.4f}", "mean |cosine| at nearest places; 1 is equal"),
    ]
    for near in report.agreement:
        parts = f"precision {near.precision:.3f}, recall {near.recall:.3f}"
        rows.append((f"F-score {near.threshold:g}", f"{near.f_score:.4f}", parts))
    for overlap in report.volume:
        known = "-" if overlap.iou is None else f"{overlap.iou:.4f}"
        cells = f"{overlap.resolution}^3 cells over [-1, 1]^3; 1 is equal"
        rows.append(("volume IoU", known, cells))
    for name, facts in (("prediction", report.prediction), ("truth", report.truth)):
        closed = "watertight" if facts.watertight else "not watertight"
        rows.append((name, f"{facts.faces}", f"triangles, {closed}, {facts.components} piece(s)"))
    return rows


def shape_table(report: ShapeReport) -> str:
    """One measure per line, what it means beside it, and the protocol below: numbers without it mean nothing."""
    protocol = report.protocol
    lines = [f"{name:<14} {value:>9}  {meaning}" for name, value, meaning in shape_lines(report)]
    lines.append(
        f"\nEuclidean distances in units of the truth's longest side, {protocol.samples} points a surface, "
        f"seed {protocol.seed}.\nAlignment {protocol.alignment}: {MODES[protocol.alignment]}."
    )
    return "\n".join([*lines, *(f"note: {note}" for note in report.notes)])
