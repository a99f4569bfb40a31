"""The first day is lived to the letter: its files are saved, its code and its commands run in their order."""

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from epimesh.cli import main

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
# The page is not about quality, and the test not about patience.
SOONER = {
    "run": ["--faces", "2000", "--texture-size", "256"],
    "render": ["--size", "128", "--processes", "1"],
    "train": ["--trainer.max_steps", "2", "--data.batch", "8", "--data.fit_objects", "2", "--model.width", "32"],
    "eval": ["--faces", "2000"],
}
SOONER["train"] += ["--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where somebody has followed the page."""
    folder = tmp_path_factory.mktemp("day")
    shutil.copy(ROOT / "examples" / "bird.jpg", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        patch.setattr(sys, "argv", ["epimesh"])
        names: dict[str, object] = {}
        for language, text in BLOCK.findall((ROOT / "docs" / "first-day.md").read_text()):
            if language == "sh":
                _commands(text)
            elif text.startswith("# my_stages.py"):
                (folder / "my_stages.py").write_text(text)
            else:
                exec(compile(text, "first-day.md", "exec"), names)
        yield folder
    sys.modules.pop("my_stages", None)


def _commands(text: str) -> None:
    for line in text.splitlines():
        program, command, *arguments = shlex.split(line)
        assert program == "epimesh"
        # The whole number of steps is for people.
        few = ["50" if argument == "300" else "2" if argument == "8" else argument for argument in arguments]
        assert main([command, *few, *SOONER[command]]) == 0


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
def test_the_day_ends_with_scores_of_the_prior_that_was_trained(folder: Path) -> None:
    summary = json.loads((folder / "scores" / "summary.json").read_text())
    assert summary["stages"][0]["settings"]["weights"] == "'checkpoints/coarse-prior'"
    methods = {one["method"] for one in summary["summaries"]}
    assert {"generator", "copy the photo", "inflated silhouette"} <= methods
    assert (folder / "scores" / "report.html").is_file()


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
def test_the_last_run_of_the_photo_used_the_trained_prior_and_reused_the_cut_out(folder: Path) -> None:
    stages = {one["slot"]: one for one in json.loads((folder / "runs" / "bird" / "run.json").read_text())["stages"]}
    assert stages["read"]["reused"]
    assert not stages["views"]["reused"]
