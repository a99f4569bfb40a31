"""`epimesh eval shape`: how alike two meshes are."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from epimesh.cli.eval_parser import parsed, parser_of
from epimesh.errors import BadInput

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from epimesh.evaluation.ground_truth.shape_files import ShapeFile
    from epimesh.evaluation.metrics.shapes import ShapeReport
    from epimesh.mesh import Mesh

_DESCRIPTION = """Compares a predicted mesh with the true one: Chamfer distances, F-scores, normals, and volume IoU.

Prints a table, or everything as JSON (--json). The truth should lie at the origin with a longest side of 1, as objects
of data sets and meshes of `epimesh run` do; --unit moves both meshes there first. Which alignment is used can turn a
ranking around, so it is part of the result. Volume IoU needs closed solids; where one is open it is left out, and a
note says so.

Which way is up: GLB, glTF and OBJ files are read as +Y up, PLY, STL and OFF as +Z up, as `epimesh run` writes them;
objects that a manifest.csv beside them or one folder up names are +Z up in any format. --pred-up and --truth-up decide
otherwise; the table says what was decided.

examples:
  epimesh eval shape runs/chair/chair.glb --truth objects/glb/chair.glb
  epimesh eval shape mine.ply --truth scan.obj --align icp --unit --json
  epimesh eval shape mine.glb --truth scan.glb --html mine.html   also a page: both turning, red where they differ
  epimesh eval shape mine.glb --truth blender.glb --align yaw --thresholds [0.01] --resolutions [128]
"""


def main(arguments: list[str]) -> int:
    """Compares two meshes. Returns 0."""
    from epimesh.evaluation.ground_truth.shape_files import UPS, off_standard, read_shape
    from epimesh.evaluation.metrics.alignment import MODES
    from epimesh.evaluation.report.shape_table import shape_table

    parser = parser_of("shape", _DESCRIPTION)
    add = parser.add_argument
    add("prediction", type=str, help="the predicted mesh: glb, gltf, ply, obj, stl, off")
    add("--truth", type=str, required=True, help="the true mesh")
    add("--align", type=str, default="none", help="; ".join(f"{name}: {what}" for name, what in MODES.items()))
    add("--pred-up", dest="pred_up", type=str, default="auto", help=f"of the prediction: {', '.join(UPS)}")
    add("--truth-up", dest="truth_up", type=str, default="auto", help=f"of the truth: {', '.join(UPS)}")
    add("--unit", action="store_true", help="move both so that the truth is centred and 1 long; --align comes after")
    add("--samples", type=int, default=50_000, help="points drawn on each surface")
    add("--seed", type=int, default=0, help="of the drawn points")
    add("--thresholds", type=list[float], default=[0.01, 0.02, 0.05], help="of the F-scores, in scene units")
    add("--resolutions", type=list[int], default=[64, 128], help="cells per axis of the volume IoUs")
    add("--html", type=str | None, default=None, metavar="FILE", help="also a page with both shapes turning")
    add("--json", action="store_true", help="print everything for machines")
    config = parsed(parser, arguments)
    prediction = read_shape(Path(config.prediction).expanduser(), config.pred_up)
    truth = read_shape(Path(config.truth).expanduser(), config.truth_up)
    true, predicted = _in_one_frame(truth, prediction, config)
    report = _compared(predicted, true, config)
    if not config.unit and (apart := off_standard(truth.mesh)) is not None:
        said = f"The truth is not in the standard frame ({apart}): distances are in its units. --unit moves both there."
        report = replace(report, notes=(*report.notes, said))
    if config.html is not None:
        _write_page(predicted, true, report, config)
    if config.json:
        read = {"prediction_up": prediction.up, "truth_up": truth.up, "unit": config.unit}
        print(json.dumps({**report.as_json(), "read": read}))
    else:
        print(shape_table(report))
        print(f"Read as {prediction.up} up: {config.prediction}. Read as {truth.up} up: {config.truth}.")
    return 0


def _in_one_frame(truth: "ShapeFile", prediction: "ShapeFile", config: "Namespace") -> "tuple[Mesh, Mesh]":
    """Both meshes, moved to the standard frame of the truth if that was asked for."""
    from epimesh.evaluation.ground_truth.shape_files import in_unit_frame
    from epimesh.evaluation.metrics.mesh_health import require_mesh

    if not config.unit:
        return truth.mesh, prediction.mesh
    require_mesh(truth.mesh, "true")
    return in_unit_frame(truth.mesh, prediction.mesh)


def _compared(predicted: "Mesh", true: "Mesh", config: "Namespace") -> "ShapeReport":
    from epimesh.evaluation.metrics.shapes import ShapeProtocol, compare_shapes

    if config.samples < 1 or not config.thresholds or not config.resolutions or min(config.resolutions) < 2:
        raise BadInput(
            f"Found --samples {config.samples} --thresholds {config.thresholds} --resolutions {config.resolutions}.\n"
            "Expected at least one point, one threshold, and one resolution of at least 2 cells."
        )
    protocol = ShapeProtocol(
        alignment=config.align,
        thresholds=tuple(config.thresholds),
        samples=config.samples,
        resolutions=tuple(config.resolutions),
        seed=config.seed,
    )
    return compare_shapes(predicted, true, protocol=protocol)


def _write_page(predicted: "Mesh", true: "Mesh", report: "ShapeReport", config: "Namespace") -> None:
    from epimesh.evaluation.report.shape_page import write_shape_page

    read = [("prediction", config.prediction), ("truth", config.truth)]
    if config.unit:
        read.append(("frame", "both moved so that the truth is centred and 1 long"))
    path = Path(config.html).expanduser()
    write_shape_page(predicted, true, report, read, path)
    print(f"For a browser: {path}", file=sys.stderr)
