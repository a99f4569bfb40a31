"""The page about adding a stage is followed to the letter: its files are saved, its commands are run."""

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from epimesh.cli import main
from epimesh.files.meshes import read_mesh

PAGE = (Path(__file__).parent.parent / "docs" / "add-a-stage.md").read_text()
PHOTO = Path(__file__).parent.parent / "examples" / "bird.jpg"
QUICK = ["--faces", "2000", "--texture-size", "256", "--reconstruct.resolution", "48"]  # the page is not about quality


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where somebody follows the page: the current folder, and one that Python looks into."""
    folder = tmp_path_factory.mktemp("page")
    (stage,), (preset,) = blocks("python"), blocks("yaml")
    (folder / "my_stages.py").write_text(stage)
    (folder / "standing.yaml").write_text(preset)
    shutil.copy(PHOTO, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        yield folder
    sys.modules.pop("my_stages", None)


@pytest.fixture(scope="module")
def reports(folder: Path) -> list[dict]:
    """Of the page's commands, in their order."""
    made = []
    for command in blocks("sh"):
        setting, program, *arguments = shlex.split(command)
        assert (setting, program) == ("PYTHONPATH=.", "epimesh")
        assert main([*arguments, *QUICK]) == 0
        made.append(json.loads((folder / "runs" / "bird" / "run.json").read_text()))
    return made


def test_both_commands_use_the_stage_and_the_second_computes_nothing(reports: list[dict]) -> None:
    first, second = ({stage["slot"]: stage for stage in report["stages"]} for report in reports)
    assert first["refine"]["stage"] == second["refine"]["stage"] == "FlatBase"
    assert not any(stage["reused"] for stage in first.values())
    assert all(stage["reused"] for stage in second.values())


def test_the_object_stands_on_a_flat_base(reports: list[dict], folder: Path) -> None:
    z = read_mesh(folder / "runs" / "bird" / "bird.glb").vertices[:, 2]
    assert (z < z.min() + 1e-3).float().mean() > 0.02


def test_every_slot_of_the_pipeline_is_on_the_page() -> None:
    from epimesh.pipeline import contracts
    from epimesh.pipeline.image_to_3d import SLOTS

    rows = re.findall(r"^\| `(\w+)`.*?\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert [slot for slot, _ in rows] == list(SLOTS)
    assert all(issubclass(getattr(contracts, kind), contracts.Stage) for _, kind in rows)
