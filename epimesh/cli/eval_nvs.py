"""`epimesh eval nvs`: novel views from any view, as Zero-to-Hero is measured, as far as rings allow."""

from pathlib import Path
from typing import TYPE_CHECKING

from epimesh.cli.eval_gso import chosen_objects, scan_facts
from epimesh.cli.eval_parser import parser_of
from epimesh.cli.eval_test import add_test_arguments, described_test, parsed_test, reported

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

_DESCRIPTION = """Measures imagined views as Zero-to-Hero's are: some views per object, each in turn the photo.

FOLDER is one of `epimesh eval gso`. Of every object, 8 views are drawn at random; each is the photo once per seed, and
the others are compared with the truth. OUT gets table.md (beside published numbers, and what differs), scores.csv,
summary.json and objects/ (a stopped evaluation goes on where it was). Only views are compared, no shapes. The pipeline
is chosen as in `epimesh run`.

examples:
  epimesh eval nvs gso30/ runs/nvs --preset zero123-small-hero
  epimesh eval nvs gso30/ runs/nvs-quick --objects alarm shoe --seeds 0 --photos 3
  epimesh eval nvs gso30/ runs/nvs-copy --baselines-only
"""


def main(arguments: list[str]) -> int:
    """Tests a pipeline, or copied photos. Returns 0 if anything could be measured, else 2."""
    from epimesh.evaluation.ground_truth.gso import elevation_of
    from epimesh.evaluation.protocols.evaluator import GeneratorProtocol
    from epimesh.evaluation.protocols.nvs import NvsTest, photos_of_ring
    from epimesh.evaluation.report.published_nvs import NVS_PEERS, nvs_peers_table
    from epimesh.evaluation.report.thumbnails import FOLDER, Thumbnails

    with_pipeline = "--baselines-only" not in arguments
    parser = _parser(with_pipeline)
    config = parsed_test(parser, arguments, with_pipeline)
    objects = chosen_objects(config)
    cameras = objects[0].cameras
    subjects = photos_of_ring(objects, config.photos, config.draw)
    protocol = GeneratorProtocol(elevation_of(cameras), tuple(config.seeds), cameras.height)
    test, out = described_test(parser, config, protocol, NvsTest), Path(config.out).expanduser()
    rows = list(test.rows(subjects, out, Thumbnails(out / FOLDER)))
    source = f"{len(objects)} of {Path(config.folder).resolve().name}, {config.photos} photos each (draw {config.draw})"
    given = scan_facts(test, source, objects, NVS_PEERS)
    below = nvs_peers_table(rows, config.photos, cameras.height)
    return reported(config, rows, given, "Novel views from any view", below)


def _parser(with_pipeline: bool) -> "ArgumentParser":
    parser = parser_of("nvs", _DESCRIPTION)
    add = parser.add_argument
    add("folder", type=str, help="cameras.json, alignment.json and one folder per object")
    add("out", type=str, help="the folder of the results")
    add("--objects", type=list[str] | None, default=None, help="only these, e.g. [alarm,shoe]")
    add("--photos", type=int, default=8, help="views per object that take part, each in turn as the photo")
    add("--draw", type=int, default=0, help="seed of the choice of views")
    add_test_arguments(parser, with_pipeline, seeds=[0, 1, 2], agreement=False)
    return parser
