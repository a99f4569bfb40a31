"""What every test of a pipeline has in common on the command line: its settings, its end, its exit code."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from epimesh.errors import BadInput

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from epimesh.evaluation.generator import GeneratorTest
    from epimesh.evaluation.judging import GeneratorProtocol
    from epimesh.evaluation.rows import Row


def add_test_arguments(
    parser: "ArgumentParser", with_pipeline: bool, *, seeds: Sequence[int] = (0,), agreement: bool = True
) -> None:
    """Seeds, device, agreement, baselines, and the settings of the pipeline's stages.

    Args:
        parser: to which they are added.
        with_pipeline: also the settings of the stages.
        seeds: by default.
        agreement: offer `--consistency`.
    """
    from epimesh.evaluation.mean_object import BUNDLED
    from epimesh.pipeline.presets import add_pipeline_arguments

    add = parser.add_argument
    add("--seeds", type=list[int], default=list(seeds), help="every object is tried with each, e.g. [0,1,2]")
    if agreement:
        add("--consistency", action="store_true", help="also how well the views of an answer agree with each other")
    add("--baselines-only", dest="baselines_only", action="store_true", help="no pipeline, only the baselines")
    add("--mean", type=str, default=BUNDLED, help="the mean object: a folder made by eval mean-object")
    add("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--json", action="store_true", help="print the content of summary.json, no progress")
    if with_pipeline:
        add_pipeline_arguments(parser)


def parsed_test(parser: "ArgumentParser", arguments: Sequence[str], with_pipeline: bool) -> "Namespace":
    """The settings; with a pipeline, those of its preset too."""
    from epimesh.cli.eval_parser import parsed
    from epimesh.pipeline.presets import parse, prepared

    config = parse(parser, prepared(arguments)) if with_pipeline else parsed(parser, list(arguments))
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
    from epimesh.evaluation.generator import GeneratorTest
    from epimesh.evaluation.mean_object import MeanObject
    from epimesh.pipeline.presets import pipeline_of
    from epimesh.pipeline.workspace import Workspace
    from epimesh.runtime import Runtime

    pipeline = None if config.baselines_only else pipeline_of(parser, config)
    runtime = Runtime(config.device, 0, Terminal(quiet=config.json))
    agreement = config.get("consistency", False)
    test = (kind or GeneratorTest)(pipeline, protocol, runtime, MeanObject.load(config.mean), agreement)
    Workspace(Path(config.out).expanduser())
    return test


def ended(test: "GeneratorTest", rows: "Sequence[Row]", config: "Namespace", table: str) -> int:
    """Prints the result. Returns 0 if anything was measured, else 2."""
    from epimesh.evaluation.generator import GENERATOR

    summary = Path(config.out).expanduser() / "summary.json"
    print(summary.read_text() if config.json else table)
    method = GENERATOR if test.pipeline is not None else None
    answers = [row for row in rows if method in (None, row.method)]
    if all(row.failure is not None for row in answers):
        reason = (answers or rows)[0].failure
        print(f"Nothing could be measured: every answer failed, the first with: {reason}", file=sys.stderr)
        return 2
    return 0
