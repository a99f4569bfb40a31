"""`epimesh eval budget`: what every stage of the way costs, by putting the truth in its place."""

from pathlib import Path
from typing import TYPE_CHECKING

from epimesh.cli.eval_generator import OWN, add_object_arguments, protocol_of, records_of, source_of
from epimesh.cli.eval_parser import parser_of
from epimesh.cli.eval_test import add_test_arguments, described_test, parsed_test, reported

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

_DESCRIPTION = """Replaces the stages of a pipeline by the truth, one after the other, and says what each of them costs.

OBJECTS is a folder with a manifest.csv and GLB files (z up), as for `epimesh eval generator`. Every object goes the
whole way seven times: with a mask that is found (on a textured background), the true mask, true latents, true views,
true depth, the true solid, and the true mesh. OUT gets table.md (every rung, what every step costs, and
which is the dearest), budget.svg (the steps as a figure), scores.csv, summary.json and objects/ (a stopped
measurement goes on where it was). Takes about a minute per object and seed.

examples:
  epimesh eval budget objects/ runs/budget --realistic --count 12
  epimesh eval budget objects/ runs/budget --seeds 0 1 2 --preset zero123-small
"""


def main(arguments: list[str]) -> int:
    """Measures the budget. Returns 0 if anything could be measured, else 2."""
    from dataclasses import replace

    from epimesh.evaluation.ground_truth.truth_object import RenderedObject
    from epimesh.evaluation.protocols.budget import RUNGS, BudgetTest
    from epimesh.evaluation.report.budget_report import budget_table, write_figure
    from epimesh.evaluation.report.generator_report import facts

    parser = _parser()
    config = parsed_test(parser, arguments, with_pipeline=True, own=OWN)
    protocol, records = replace(protocol_of(config), mesh=True), records_of(config)
    test, out = described_test(parser, config, protocol, BudgetTest), Path(config.out).expanduser()
    rows = list(test.rows([RenderedObject(record) for record in records], out))
    given = {**facts(test, source_of(config, records)), "rungs": RUNGS}
    write_figure(rows, out / "budget.svg")
    return reported(config, rows, given, "What every stage costs", budget_table(rows))


def _parser() -> "ArgumentParser":
    parser = parser_of("budget", _DESCRIPTION)
    add_object_arguments(parser)
    add_test_arguments(parser, with_pipeline=True, agreement=False, baselines=False, html=False)
    return parser
