"""The examples run, change what is sampled, and hold the maps that their layers make."""

import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
# Bytes of a half-precision map of every layer: 2 heads; the full resolution three times (ControlNet: four), half of it
# once (twice). Two maps are held for each of 2 images x 2 branches, or for 2 branches where four views are one row.
CONTROLNET = 2 * (2 * 2) * 2 * 2 * (4 * 64**2 + 2 * 16**2)
MULTIVIEW = 2 * 2 * 2 * 2 * (3 * 256**2 + 64**2)


@pytest.mark.parametrize(
    ("name", "held"), [("hero_on_a_controlnet", CONTROLNET), ("hero_on_a_multiview_model", MULTIVIEW)]
)
def test_an_example_runs_and_says_what_it_did(name: str, held: int, capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(EXAMPLES / f"{name}.py"))
    assert example["SAMPLER"].evaluations == 110
    example["main"](replace(example["SAMPLER"], timesteps=[981, 741, 401, 1]))
    said = capsys.readouterr().out
    assert "4 steps, 12 evaluations" in said
    assert float(re.findall(r"by (\d+)% of", said)[0]) > 0
    assert f"held {held / 2**20:.2f} MiB" in said
