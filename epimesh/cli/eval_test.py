"""What every test of a pipeline has in common on the command line: its settings, its end, its exit code."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epimesh.errors import BadInput

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from epimesh.evaluation.metrics.scores import Scores
    from epimesh.evaluation.protocols.evaluator import GeneratorProtocol
    from epimesh.evaluation.protocols.generator import GeneratorTest


def add_test_arguments(
    parser: "ArgumentParser",
    with_pipeline: bool,
    *,
    seeds: Sequence[int] = (0,),
    agreement: bool = True,
    baselines: bool = True,
    html: bool = True,
) -> None:
    """Seeds, device, agreement, baselines, and the settings of the pipeline's stages.

    Args:
        parser: to which they are added.
        with_pipeline: also the settings of the stages.
        seeds: by default.
        agreement: offer `--consistency`.
        baselines: offer `--baselines-only` and `--mean`.
        html: offer `--html`.
    """
    from epimesh.evaluation.baselines.mean_object import BUNDLED
    from epimesh.pipeline.image_to_3d import ImageTo3D
    from epimesh.pipeline.parser import add_pipeline_arguments

    add = parser.add_argument
    add("--seeds", type=list[int], default=list(seeds), help="every object is tried with each, e.g. --seeds 0 1 2")
    if agreement:
        add("--consistency", action="store_true", help="also how well the views of an answer agree with each other")
    if baselines:
        add("--baselines-only", dest="baselines_only", action="store_true", help="no pipeline, only the baselines")
        add("--mean", type=str, default=BUNDLED, help="the mean object: a folder made by eval mean-object")
    add("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps")
    if html:
        add("--html", action="store_true", help="also OUT/report.html, one page with pictures and plots")
    add("--json", action="store_true", help="print the content of summary.json, no progress")
    if with_pipeline:
        add_pipeline_arguments(parser, ImageTo3D)


def parsed_test(
    parser: "ArgumentParser", arguments: Sequence[str], with_pipeline: bool, own: Sequence[str] = ()
) -> "Namespace":
    """The settings; with a pipeline, those of its preset too. `own` options are no shortcuts here."""
    from epimesh.cli.eval_parser import parsed
    from epimesh.pipeline.parser import parse

    config = parse(parser, arguments, own=own) if with_pipeline else parsed(parser, list(arguments))
    if not config.seeds:
        raise BadInput("Found --seeds [].\nExpected at least one seed.")
    return config


def described_test(
    parser: "ArgumentParser",
    config: "Namespace",
    protocol: "GeneratorProtocol",
    kind: "type[GeneratorTest] | None" = None,
) -> "GeneratorTest":
    """The test that the settings describe, a `GeneratorTest` unless it is to be of another `kind`.

    Makes the folder of the results, or says why it cannot be written.
    """
    from epimesh.cli.progress import Terminal
    from epimesh.evaluation.baselines.mean_object import BUNDLED, MeanObject
    from epimesh.evaluation.protocols.generator import GeneratorTest
    from epimesh.pipeline.image_to_3d import ImageTo3D
    from epimesh.pipeline.parser import pipeline_of
    from epimesh.pipeline.workspace import Workspace
    from epimesh.runtime import Runtime

    pipeline = None if config.get("baselines_only", False) else pipeline_of(parser, config, ImageTo3D)
    runtime = Runtime(config.device, 0, Terminal(quiet=config.json))
    agreement = config.get("consistency", False)
    mean = MeanObject.load(config.get("mean", BUNDLED))
    test = (kind or GeneratorTest)(pipeline, protocol, runtime, mean, agreement)
    Workspace(Path(config.out).expanduser())
    return test


def reported(
    config: "Namespace", rows: "Sequence[Scores]", given: Mapping[str, Any], title: str, below: str = ""
) -> int:
    """Writes the table, and the page if it was asked for, and prints the result.

    Args:
        config: of the command.
        rows: what was measured.
        given: see `generator_report.facts`.
        title: of the page.
        below: Markdown that belongs below the table.

    Returns:
        0 if anything was measured, else 2.
    """
    from epimesh.evaluation.report.generator_page import write_page
    from epimesh.evaluation.report.generator_report import write_report

    out = Path(config.out).expanduser()
    table = write_report(rows, dict(given), out, below)
    if config.get("html", False):
        path = write_page(title, rows, given, out, below)
        print(f"For a browser ({path.stat().st_size / 1e6:.1f} MB): {path}", file=sys.stderr)
    return _ended(rows, config, table)


def _ended(rows: "Sequence[Scores]", config: "Namespace", table: str) -> int:
    """Prints the result. Returns 0 if anything was measured, else 2."""
    from epimesh.evaluation.protocols.generator import GENERATOR

    summary = Path(config.out).expanduser() / "summary.json"
    print(summary.read_text() if config.json else table)
    answers = [row for row in rows if row.method == GENERATOR] or rows
    if all(row.failure is not None for row in answers):
        reason = answers[0].failure
        print(f"Nothing could be measured: every answer failed, the first with: {reason}", file=sys.stderr)
        return 2
    return 0
