"""A generator, a decoder and a metric are one small commit each: made here in a project of their own, and used."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from epimesh.cameras import Cameras
from epimesh.cli import main
from epimesh.evaluation.metrics import metric
from epimesh.evaluation.metrics.comparison import ViewComparison
from epimesh.files.meshes import read_mesh
from epimesh.views import Views

HERE = Path(__file__).parent
PHOTO = HERE.parent.parent / "examples" / "bird.jpg"
MOST_FILES, MOST_LINES = 2, 35


def git(*arguments: str, folder: Path) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Somebody's project beside epimesh, under version control, where Python looks for modules."""
    folder = tmp_path_factory.mktemp("project")
    git("init", "--quiet", folder=folder)
    committed("base", folder)
    shutil.copy(PHOTO, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        yield folder
    for module in ("same_photo", "sepia", "redness"):
        sys.modules.pop(module, None)


def committed(what: str, project: Path) -> tuple[int, int]:
    """Commits the files of one demonstration; how many files and lines that took."""
    files = [file for file in sorted((HERE / what).iterdir()) if file.is_file()]
    for file in files:
        shutil.copy(file, project)
    git("add", *(file.name for file in files), folder=project)
    git("commit", "--quiet", "--message", f"{what}: what it takes", folder=project)
    rows = git("show", "--numstat", "--format=", folder=project).splitlines()
    return len(rows), sum(int(row.split()[0]) for row in rows)


def made(project: Path, *presets: str) -> tuple[dict[str, str], Path]:
    """Which classes filled the slots of a run, and the mesh."""
    chosen = [argument for preset in ("quick.yaml", *presets) for argument in ("--preset", preset)]
    out = project / "-".join(["runs", *presets])
    assert main(["run", "bird.jpg", *chosen, "--out", str(out)]) == 0
    stages = json.loads((out / "run.json").read_text())["stages"]
    return {stage["slot"]: stage["stage"] for stage in stages}, out / f"{out.name}.glb"


def test_a_generator_is_a_class_and_a_line_of_a_preset(project: Path) -> None:
    files, lines = committed("generator", project)
    assert files <= MOST_FILES
    assert lines <= MOST_LINES
    slots, mesh = made(project, "same_photo.yaml")
    assert slots["views"] == "SamePhoto"
    assert len(read_mesh(mesh).faces) > 100


def test_a_decoder_is_a_class_and_a_line_of_a_preset(project: Path) -> None:
    files, lines = committed("decoder", project)
    assert files <= MOST_FILES
    assert lines <= MOST_LINES
    slots, mesh = made(project, "sepia.yaml")
    assert slots["decode"] == "SepiaDecoder"
    texture = read_mesh(mesh).texture
    assert texture is not None
    red, _, blue = texture.flatten(1).median(dim=1).values
    assert red > blue + 0.2  # what no photo shows is brown


def test_a_metric_is_an_entry(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, lines = committed("metric", project)
    assert files == 1
    assert lines <= MOST_LINES
    monkeypatch.setattr(metric, "METRICS", dict(metric.METRICS))
    import redness  # noqa: F401

    alpha, cameras = torch.ones(2, 1, 16, 16), Cameras.ring(2, size=16)
    grey = Views(rgb=torch.full((2, 3, 16, 16), 0.5), alpha=alpha, cameras=cameras)
    red = Views(rgb=grey.rgb + torch.tensor([0.25, 0, 0])[:, None, None], alpha=alpha, cameras=cameras)
    values = metric.of_views(ViewComparison(red, grey, (True, False)), agreement=False)
    assert values["redness"] == pytest.approx(0.25)
    assert set(values) >= {"psnr", "ssim"}
