"""`epimesh eval generator`: imagined views and shapes of rendered objects against the truth."""

from pathlib import Path
from typing import TYPE_CHECKING

from epimesh.cli.eval_parser import parser_of
from epimesh.cli.eval_test import add_test_arguments, described_test, parsed_test, reported
from epimesh.errors import BadInput

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from epimesh.data.objects import ObjectRecord
    from epimesh.evaluation.protocols.evaluator import GeneratorProtocol

OWN = ("--elevation",)
"""Elsewhere a shortcut for a setting of the cut-out; here it is where the photos are taken from."""

_DESCRIPTION = """Shows a pipeline rendered photos of objects and compares what it imagines with the true other sides.

OBJECTS is a folder with a manifest.csv and GLB files (z up). OUT gets table.md, scores.csv (every object), summary.json
(means, intervals, versions, settings, weights) and objects/ (one file per object: a stopped evaluation goes on where it
was, failures are tried again). The generator's line stands beside trivial baselines: the photo copied to every view,
the mean training object, the inflated silhouette, and the hull of the true silhouettes (a limit, not a baseline). Every
failure counts and is named. The pipeline is chosen as in `epimesh run`: --preset and the settings of its stages;
cutting out is not part of the measurement.

examples:
  epimesh eval generator objects/ runs/eval-val --split val --count 20
  epimesh eval generator objects/ runs/eval --shapes --seeds 0 1 2            also reconstructs and compares shapes
  epimesh eval generator objects/ runs/eval-20 --preset small --views.steps 20  any setting of any stage
  epimesh eval generator objects/ runs/agree --consistency   also how well neighbouring views agree
  epimesh eval generator objects/ runs/eval-val --html       also report.html; what is measured stays as it is
  epimesh eval generator objects/ runs/trivial --baselines-only --shapes        what needs no network
"""


def main(arguments: list[str]) -> int:
    """Tests a pipeline, or the baselines alone. Returns 0 if anything could be measured, else 2."""
    from dataclasses import replace

    from epimesh.evaluation.ground_truth.truth_object import RenderedObject
    from epimesh.evaluation.report.generator_report import facts
    from epimesh.evaluation.report.thumbnails import FOLDER, Thumbnails

    with_pipeline = "--baselines-only" not in arguments
    parser = _parser(with_pipeline)
    config = parsed_test(parser, arguments, with_pipeline, OWN)
    protocol, records = replace(protocol_of(config), mesh=config.shapes), records_of(config)
    test, out = described_test(parser, config, protocol), Path(config.out).expanduser()
    rows = list(test.rows([RenderedObject(record) for record in records], out, Thumbnails(out / FOLDER)))
    return reported(config, rows, facts(test, source_of(config, records)), "Imagined views of rendered objects")


def _parser(with_pipeline: bool) -> "ArgumentParser":
    parser = parser_of("generator", _DESCRIPTION)
    add_object_arguments(parser)
    parser.add_argument("--shapes", action="store_true", help="also reconstruct and compare shapes")
    add_test_arguments(parser, with_pipeline)
    return parser


def add_object_arguments(parser: "ArgumentParser") -> None:
    """Which objects, where the results go, and how the photos are taken."""
    add = parser.add_argument
    add("objects", type=str, help="a folder of objects with a manifest.csv")
    add("out", type=str, help="the folder of the results")
    add("--split", type=str, default="test", help="which objects of the manifest: train, val, test")
    add("--count", type=int | None, default=None, help="only the first objects")
    add("--realistic", action="store_true", help="only scans and photo-textured objects")
    add("--elevation", "--photo-elevation", dest="photo_elevation", type=float, default=30.0, help="degrees, of photos")
    add("--photo-size", dest="photo_size", type=int, default=256, help="of the photos, pixels per side")


def protocol_of(config: "Namespace") -> "GeneratorProtocol":
    """How the photos are taken, and the seeds."""
    from epimesh.evaluation.protocols.evaluator import GeneratorProtocol

    if not -90 < config.photo_elevation < 90 or config.photo_size < 16:
        raise BadInput(
            f"Found --elevation {config.photo_elevation} --photo-size {config.photo_size}.\n"
            "Expected an elevation between -90 and 90 degrees, and 16 pixels or more."
        )
    return GeneratorProtocol(
        elevation_deg=config.photo_elevation,
        seeds=tuple(config.seeds),
        photo_size=config.photo_size,
    )


def records_of(config: "Namespace") -> "list[ObjectRecord]":
    """The chosen objects of the manifest."""
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


def source_of(config: "Namespace", records: "list[ObjectRecord]") -> str:
    """Which objects these are, in words."""
    kept = ", realistic only" if config.realistic else ""
    first = f", the first {len(records)}" if config.count is not None else ""
    return f"{len(records)} of {Path(config.objects).name}, split {config.split}{kept}{first}"
