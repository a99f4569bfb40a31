"""The page on neural extrapolation keeps its word: its commands parse, and its stages fill the slots it says."""

import re
from pathlib import Path

import pytest

from epimesh.cli import eval_guidance, eval_latents
from epimesh.cli.eval_parser import parsed
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.pipeline.parser import pipeline_from

PAGE = (Path(__file__).parent.parent / "docs" / "neural-extrapolation.md").read_text()
RUNS = re.findall(r"^    epimesh run chair\.jpg (.*)$", PAGE, re.MULTILINE)
PARSERS = {"latents": eval_latents._parser, "guidance": eval_guidance._parser}


@pytest.mark.parametrize("arguments", RUNS)
def test_every_run_of_the_page_is_a_pipeline(arguments: str) -> None:
    pipeline = pipeline_from(ImageTo3D, arguments.split())
    asked = {"ScoreDistillation", "DistilledTexture", "PivotViews"} & set(arguments.split())
    named = {type(stage).__name__ for stage in (pipeline.refine, pipeline.texture, pipeline.views)}
    assert asked
    assert asked <= named


@pytest.mark.parametrize(("kind", "arguments"), re.findall(r"^    epimesh eval (\w+) (.*)$", PAGE, re.MULTILINE))
def test_every_evaluation_of_the_page_parses(kind: str, arguments: str) -> None:
    assert parsed(PARSERS[kind](), arguments.split()).out == kind
