"""`epimesh eval gso`: imagined views and shapes of Google Scanned Objects, beside published numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epimesh.cli.eval_parser import parser_of
from epimesh.cli.eval_test import add_test_arguments, described_test, parsed_test, reported
from epimesh.errors import BadInput

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from epimesh.evaluation.ground_truth.gso import GsoObject
    from epimesh.evaluation.protocols.generator import GeneratorTest

_DESCRIPTION = """Measures a pipeline as SyncDreamer and its successors are: on scanned objects with given views.

FOLDER holds cameras.json, alignment.json, and per object 16 RGBA views (000.png is the photo) and model.obj. OUT gets
table.md (our numbers beside published ones, and what differs), scores.csv (every object and seed), summary.json (means,
intervals, versions, settings, hashes of inputs and weights) and objects/ (one file per object: a stopped evaluation
goes on where it was, failures are tried again). PSNR, SSIM and silhouettes are of the 16 views; Chamfer distance,
volume IoU and F-score of the mesh, in place as it is. Every failure counts and is named. The pipeline is chosen as in
`epimesh run`: --preset and the settings of its stages; cutting out is not part of the measurement.

examples:
  epimesh eval gso gso30/ runs/gso --seeds 0 1 2 --html
  epimesh eval gso gso30/ runs/gso-sync --preset syncdreamer --views.guidance 1.5 --consistency
  epimesh eval gso gso30/ runs/gso-views --views-only --objects alarm shoe
  epimesh eval gso gso30/ runs/gso-trivial --baselines-only
"""


def main(arguments: list[str]) -> int:
    """Tests a pipeline, or the baselines alone. Returns 0 if anything could be measured, else 2."""
    from epimesh.evaluation.ground_truth.gso import elevation_of
    from epimesh.evaluation.protocols.evaluator import GeneratorProtocol
    from epimesh.evaluation.report.published_gso import PEERS, peers_table
    from epimesh.evaluation.report.thumbnails import FOLDER, Thumbnails

    with_pipeline = "--baselines-only" not in arguments
    parser = _parser(with_pipeline)
    config = parsed_test(parser, arguments, with_pipeline)
    subjects = chosen_objects(config)
    cameras = subjects[0].cameras
    protocol = GeneratorProtocol(
        elevation_deg=elevation_of(cameras),
        seeds=tuple(config.seeds),
        photo_size=cameras.height,
        mesh=not config.views_only,
    )
    test, out = described_test(parser, config, protocol), Path(config.out).expanduser()
    rows = list(test.rows(subjects, out, Thumbnails(out / FOLDER)))
    given = scan_facts(test, f"{len(subjects)} of {Path(config.folder).resolve().name}", subjects, PEERS)
    below = peers_table(rows, cameras.height)
    return reported(config, rows, given, "Imagined views and shapes of scanned objects", below)


def _parser(with_pipeline: bool) -> "ArgumentParser":
    parser = parser_of("gso", _DESCRIPTION)
    add = parser.add_argument
    add("folder", type=str, help="cameras.json, alignment.json and one folder per object")
    add("out", type=str, help="the folder of the results")
    add("--objects", type=list[str] | None, default=None, help="only these, e.g. [alarm,shoe]")
    add("--views-only", dest="views_only", action="store_true", help="compare no shapes")
    add_test_arguments(parser, with_pipeline)
    return parser


def chosen_objects(config: "Namespace") -> "list[GsoObject]":
    """The objects of the folder, or those that were named."""
    from epimesh.evaluation.ground_truth.gso import read_gso

    subjects = read_gso(Path(config.folder).expanduser())
    if config.objects is None:
        return subjects
    known = [subject.id for subject in subjects]
    if unknown := [name for name in config.objects if name not in known] or not config.objects:
        raise BadInput(f"{config.folder} has no {unknown or 'object'}.\nExpected some of: {', '.join(known)}.")
    return [subject for subject in subjects if subject.id in config.objects]


def scan_facts(
    test: "GeneratorTest", source: str, objects: "Sequence[GsoObject]", peers: "Sequence[Any]"
) -> dict[str, Any]:
    """What a reader needs to repeat the numbers, with hashes of the objects, and what others have published.

    Args:
        test: what was measured, and how.
        source: which objects, in words.
        objects: these.
        peers: dataclasses of published numbers.
    """
    from dataclasses import asdict

    from epimesh.evaluation.report.generator_report import facts

    inputs = {one.id: one.content for one in objects}
    published = [asdict(peer) for peer in peers]
    return {**facts(test, source, "objects as they are given"), "inputs": inputs, "published": published}
