"""`epimesh eval`: shapes and generators against the truth, beside trivial baselines."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epimesh.errors import BadInput

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from epimesh.data.objects import ObjectRecord
    from epimesh.evaluation.generator import GeneratorTest
    from epimesh.evaluation.shape_files import ShapeFile
    from epimesh.evaluation.shapes import ShapeReport

_USAGE = """usage: epimesh eval shape|generator|mean-object [arguments]

  epimesh eval shape PRED --truth MESH    how alike two meshes are
  epimesh eval generator OBJECTS OUT      how good imagined views (and shapes) are, beside trivial baselines
  epimesh eval mean-object OBJECTS OUT    makes one of those baselines: the mean of the training objects

epimesh eval shape --help and so on show the settings.
"""

_SHAPE = """Compares a predicted mesh with the true one: Chamfer distances, F-scores, normals, and volume IoU.

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
  epimesh eval shape mine.glb --truth blender.glb --align yaw --thresholds [0.01] --resolutions [128]
"""

_GENERATOR = """Shows rendered photos of objects to a pipeline and compares what it imagines with the true other sides.

OBJECTS is a folder with a manifest.csv and GLB files (z up). OUT gets table.md, scores.csv (every object), summary.json
(means, intervals, versions, settings, weights) and objects/ (one file per object: a stopped evaluation goes on where it
was, failures are tried again). The generator's line stands beside trivial baselines: the photo copied to every view,
the mean training object, the inflated silhouette, and the hull of the true silhouettes (a limit, not a baseline). Every
failure counts and is named. The pipeline is chosen as in `epimesh run`: --preset and the settings of its stages;
cutting out is not part of the measurement.

examples:
  epimesh eval generator objects/ runs/eval-val --split val --count 20
  epimesh eval generator objects/ runs/eval --shapes --seeds [0,1,2]            also reconstructs and compares shapes
  epimesh eval generator objects/ runs/eval-20 --preset small --views.steps 20  any setting of any stage
  epimesh eval generator objects/ runs/trivial --baselines-only --shapes        what needs no network
"""

_MEAN = """Makes the mean of the training objects: 16 mean views, and the share of objects that fill each place.

It ships with the package as bundled:mean-object; make it again when the training objects change. Takes seconds per
object. `epimesh eval generator --mean OUT` uses yours.

example: epimesh eval mean-object objects/ runs/mean-object --every 4
"""


def main(arguments: list[str]) -> int:
    """Runs one of the evaluations. Returns 0 if it could be measured, 2 if not."""
    kinds: dict[str, Callable[[list[str]], int]] = {
        "shape": _shape,
        "generator": _generator,
        "mean-object": _mean_object,
    }
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return 0
    if arguments[0] not in kinds:
        raise BadInput(
            f"There is no evaluation '{arguments[0]}'.\nExpected one of: {', '.join(kinds)}. See: epimesh eval --help"
        )
    return kinds[arguments[0]](arguments[1:])


def _shape(arguments: list[str]) -> int:
    from epimesh.evaluation.alignment import MODES
    from epimesh.evaluation.shape_files import UPS, off_standard, read_shape
    from epimesh.evaluation.shape_table import shape_table

    parser = _parser("shape", _SHAPE)
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
    add("--json", action="store_true", help="print everything for machines")
    config = _parsed(parser, arguments)
    prediction = read_shape(Path(config.prediction).expanduser(), config.pred_up)
    truth = read_shape(Path(config.truth).expanduser(), config.truth_up)
    report = _compared(prediction, truth, config)
    if not config.unit and (apart := off_standard(truth.mesh)) is not None:
        said = f"The truth is not in the standard frame ({apart}): distances are in its units. --unit moves both there."
        report = replace(report, notes=(*report.notes, said))
    if config.json:
        read = {"prediction_up": prediction.up, "truth_up": truth.up, "unit": config.unit}
        print(json.dumps({**report.as_json(), "read": read}))
    else:
        print(shape_table(report))
        print(f"Read as {prediction.up} up: {config.prediction}. Read as {truth.up} up: {config.truth}.")
    return 0


def _compared(prediction: "ShapeFile", truth: "ShapeFile", config: "Namespace") -> "ShapeReport":
    from epimesh.evaluation.mesh_health import require_mesh
    from epimesh.evaluation.shape_files import in_unit_frame
    from epimesh.evaluation.shapes import ShapeProtocol, compare_shapes

    if config.samples < 1 or not config.thresholds or not config.resolutions or min(config.resolutions) < 2:
        raise BadInput(
            f"Found --samples {config.samples} --thresholds {config.thresholds} --resolutions {config.resolutions}.\n"
            "Expected at least one point, one threshold, and one resolution of at least 2 cells."
        )
    true, predicted = truth.mesh, prediction.mesh
    if config.unit:
        require_mesh(true, "true")
        true, predicted = in_unit_frame(true, predicted)
    protocol = ShapeProtocol(
        alignment=config.align,
        thresholds=tuple(config.thresholds),
        samples=config.samples,
        resolutions=tuple(config.resolutions),
        seed=config.seed,
    )
    return compare_shapes(predicted, true, protocol=protocol)


def _generator(arguments: list[str]) -> int:
    from epimesh.cli.progress import Terminal
    from epimesh.evaluation.generator import GENERATOR
    from epimesh.evaluation.generator_report import facts, write_report
    from epimesh.pipeline.presets import parse, prepared
    from epimesh.pipeline.workspace import Workspace

    with_pipeline = "--baselines-only" not in arguments
    parser = _generator_parser(with_pipeline)
    # `--elevation` is a shortcut for a setting of the cut-out elsewhere; here it is where the photos are taken from.
    own = [argument.replace("--elevation", "--photo-elevation", 1) for argument in arguments]
    config = parse(parser, prepared(own)) if with_pipeline else _parsed(parser, own)
    terminal = Terminal(quiet=config.json)
    test = _generator_test(parser, config, terminal)
    records = _records(config)
    out = Path(config.out).expanduser()
    Workspace(out)  # makes the folder, or says why it cannot be written
    rows = list(test.rows(records, out))
    table = write_report(rows, facts(test, _source(config, records)), out)
    print((out / "summary.json").read_text() if config.json else table)
    method = GENERATOR if test.pipeline is not None else None
    answers = [row for row in rows if method in (None, row.method)]
    if all(row.failure is not None for row in answers):
        reason = (answers or rows)[0].failure
        print(f"Nothing could be measured: every answer failed, the first with: {reason}", file=sys.stderr)
        return 2
    return 0


def _generator_test(parser: "ArgumentParser", config: "Namespace", terminal: Any) -> "GeneratorTest":
    from epimesh.evaluation.generator import GeneratorTest
    from epimesh.evaluation.judging import GeneratorProtocol
    from epimesh.evaluation.mean_object import MeanObject
    from epimesh.pipeline.presets import pipeline_of
    from epimesh.runtime import Runtime

    if not config.seeds or not -90 < config.photo_elevation < 90 or config.photo_size < 16:
        raise BadInput(
            f"Found --seeds {config.seeds} --elevation {config.photo_elevation} --photo-size {config.photo_size}.\n"
            "Expected at least one seed, an elevation between -90 and 90 degrees, and 16 pixels or more."
        )
    protocol = GeneratorProtocol(
        elevation_deg=config.photo_elevation,
        seeds=tuple(config.seeds),
        photo_size=config.photo_size,
        mesh=config.shapes,
    )
    pipeline = None if config.baselines_only else pipeline_of(parser, config)
    runtime = Runtime(config.device, 0, terminal)
    return GeneratorTest(pipeline, protocol, runtime, MeanObject.load(config.mean))


def _records(config: "Namespace") -> "list[ObjectRecord]":
    from epimesh.data.objects import read_manifest

    records = read_manifest(Path(config.objects).expanduser(), config.split)
    if config.realistic:
        records = [record for record in records if record.realistic]
    records = records[: config.count]
    if not records:
        raise BadInput(
            f"No object of {config.objects} is left (--split {config.split}, --count {config.count}"
            f"{', --realistic' if config.realistic else ''}).\nExpected at least one: choose another split, or more."
        )
    return records


def _source(config: "Namespace", records: "list[ObjectRecord]") -> str:
    kept = ", realistic only" if config.realistic else ""
    first = f", the first {len(records)}" if config.count is not None else ""
    return f"{len(records)} of {Path(config.objects).name}, split {config.split}{kept}{first}"


def _generator_parser(with_pipeline: bool) -> "ArgumentParser":
    from epimesh.evaluation.mean_object import BUNDLED
    from epimesh.pipeline.presets import add_pipeline_arguments

    parser = _parser("generator", _GENERATOR)
    add = parser.add_argument
    add("objects", type=str, help="a folder of objects with a manifest.csv")
    add("out", type=str, help="the folder of the results")
    add("--split", type=str, default="test", help="which objects of the manifest: train, val, test")
    add("--count", type=int | None, default=None, help="only the first objects")
    add("--realistic", action="store_true", help="only scans and photo-textured objects")
    add("--seeds", type=list[int], default=[0], help="every object is tried with each, e.g. [0,1,2]")
    add("--elevation", "--photo-elevation", dest="photo_elevation", type=float, default=30.0, help="degrees, of photos")
    add("--photo-size", dest="photo_size", type=int, default=256, help="of the photos, pixels per side")
    add("--shapes", action="store_true", help="also reconstruct and compare shapes")
    add("--baselines-only", dest="baselines_only", action="store_true", help="no pipeline, only the baselines")
    add("--mean", type=str, default=BUNDLED, help="the mean object: a folder made by eval mean-object")
    add("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--json", action="store_true", help="print the content of summary.json, no progress")
    if with_pipeline:
        add_pipeline_arguments(parser)
    return parser


def _mean_object(arguments: list[str]) -> int:
    from epimesh.cli.progress import Terminal
    from epimesh.data.objects import read_manifest
    from epimesh.evaluation.mean_object import mean_object

    parser = _parser("mean-object", _MEAN)
    add = parser.add_argument
    add("objects", type=str, help="a folder of objects with a manifest.csv")
    add("out", type=str, help="the folder for mean.safetensors")
    add("--split", type=str, default="train", help="which objects of the manifest; test objects would be cheating")
    add("--every", type=int, default=1, help="every how-manieth object takes part")
    add("--seed", type=int, default=0, help="of the random turns")
    add("--json", action="store_true", help="print the numbers for machines, no progress")
    config = _parsed(parser, arguments)
    if config.every < 1:
        raise BadInput(f"Found --every {config.every}.\nExpected 1 (all objects) or more.")
    records = read_manifest(Path(config.objects).expanduser(), config.split)[:: config.every]
    tracked = Terminal(quiet=config.json).track(records, "objects", len(records))
    mean = mean_object(tracked, config.seed)
    out = Path(config.out).expanduser()
    mean.save(out)
    made = {"objects": mean.objects, "skipped": len(records) - mean.objects, "solids": mean.solids, "level": mean.level}
    print(json.dumps({"out": str(out), **made}) if config.json else f"{out}: {made}")
    return 0


def _parser(name: str, description: str) -> "ArgumentParser":
    from argparse import RawDescriptionHelpFormatter

    from jsonargparse import ArgumentParser, DefaultHelpFormatter

    class Formatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
        """Keeps the line breaks of the description."""

    return ArgumentParser(
        prog=f"epimesh eval {name}", description=description, exit_on_error=False, formatter_class=Formatter
    )


def _parsed(parser: "ArgumentParser", arguments: list[str]) -> "Namespace":
    from jsonargparse import ArgumentError

    try:
        return parser.parse_args(arguments)
    except ArgumentError as error:
        raise BadInput(f"{error}\nAll settings: {parser.prog} --help") from error
