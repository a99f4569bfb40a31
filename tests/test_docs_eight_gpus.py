"""The page "Eight GPUs from zero" is followed to the letter, at a tiny size and with two processes on a CPU."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_stages
import torch
from diffusers import AutoencoderKLTemporalDecoder
from objaverse_mirror import Mirror, entry, fill, uid
from safetensors.torch import save_file

from epimesh.data.objaverse.choice import split_of
from epimesh.data.posed.posed_views import read_posed_views

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "eight-gpus.md").read_text()
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE) for line in block.splitlines()
]
SLURM = re.search(r"^```slurm\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)

PLUGIN = '''
from dataclasses import dataclass
from pathlib import Path

from epimesh.pipeline.contracts import ViewGenerator
from epimesh.training.epipolar.data import read_posed_object
from epimesh.training.epipolar.latents import ViewLatents
from epimesh.views import LatentViews


@dataclass(frozen=True, kw_only=True)
class TrueViews(ViewGenerator):
    """Latents of the six views that were rendered of an object."""

    folder: str
    latent_space: str = "sd"

    def __call__(self, photo, *, runtime):
        views = read_posed_object(Path(self.folder))
        latents = ViewLatents("weights/svd/vae", keep=False)(views)
        return LatentViews(latents, views.cameras(), photo, "sd")
'''


def tiny(command: str, mirror: str) -> str:
    """The command at a size for tests; what it does stays."""
    few = {"--limit 23000": "--limit 6", "--lvis ": "", "1/4": "1/2", "--nproc-per-node 8": "--nproc-per-node 2"}
    few |= {"--trainer.devices 8": "--trainer.devices 2", "--max_steps 3500": "--max_steps 6"}
    few |= {
        "--processes 8": "--processes 1",
        "--processes 16": "--processes 1",
        "--preset wonder3d": "--preset six.yaml",
    }
    for before, after in few.items():
        command = command.replace(before, after)
    if " data " in command:
        return f"{command} --mirror {mirror}"
    if " render " in command:
        return f"{command} --size 32"
    if " run " in command:
        kept = command.partition(" --decode.coverage")[0]
        return f"{kept} --decode.depth GivenDepth --decode.depth.file depth.safetensors"
    steps = "" if "--max_steps 6" in command else " --trainer.max_steps 4"
    small = "--model.samples 3 3 2 --model.neighbours 3 --data.workers 0 --trainer.precision 32-true"
    often = "--trainer.accelerator cpu --trainer.log_every_n_steps 2 --trainer.val_check_interval 2"
    return f"{command}{steps} {small} {often}"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.CompletedProcess[str]]]:
    """Every command of the page, and what it said. The working directory is where somebody has followed the page."""
    home = tmp_path_factory.mktemp("cluster")
    torch.manual_seed(0)
    AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32, 32), down_block_types=("DownEncoderBlock2D",) * 3, layers_per_block=2
    ).save_pretrained(home / "weights" / "svd" / "vae")
    (home / "six_latents.py").write_text(PLUGIN)
    (home / "photo.jpg").write_bytes(b"any bytes")
    said = {}
    mirror = Mirror()
    fill(mirror, {"000-023": {name: entry(name) for name in _names()}})
    for command in COMMANDS:
        if " run " in command:
            _prepare_run(home)
        ran = _run(tiny(command, mirror.url), home)
        assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
        said[command] = ran
    mirror.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        yield said


def _names() -> list[str]:
    """Five objects of the training split, and one for validation."""
    names = [uid(number) for number in range(500)]
    by_split = {split: [name for name in names if split_of(name) == split] for split in ("train", "val")}
    return [*by_split["train"][:5], by_split["val"][0]]


def _prepare_run(home: Path) -> None:
    """A preset with the true views of an object in the place of Wonder3D, and their depth."""
    folder = next((home / "renders" / "six").glob("*/transforms.json")).parent
    views = read_posed_views(folder, geometry=True)
    save_file({"depth": views.depth}, home / "depth.safetensors")
    generator = f"{{class_path: six_latents.TrueViews, init_args: {{folder: {folder}}}}}"
    preset = tiny_stages.PRESET.replace("{class_path: tiny_stages.SameFromEverywhere}", generator)
    (home / "six.yaml").write_text(preset.replace("tiny_stages.PixelDecoder", "epimesh.decoders.EpipolarDecoder"))


def _run(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    programs = home / "bin"
    if not programs.is_dir():
        programs.mkdir()
        for name, module in (("epimesh", "epimesh"), ("torchrun", "torch.distributed.run")):
            (programs / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m {module} "$@"\n')
            (programs / name).chmod(0o755)
    places = [str(ROOT), str(ROOT / "tests" / "pipeline"), str(home), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        ["bash", "-c", command], cwd=home, env=environment, capture_output=True, text=True, timeout=900, check=False
    )


@pytest.mark.slow
def test_the_page_ends_with_a_mesh_that_the_trained_decoder_has_decoded(
    done: dict[str, subprocess.CompletedProcess[str]],
) -> None:
    assert Path("runs/photo/photo.glb").read_bytes()[:4] == b"glTF"
    report = json.loads(Path("runs/photo/run.json").read_text())
    assert report["stages"][2]["stage"] == "EpipolarDecoder"
    assert "checkpoints/epipolar-decoder" in report["weights"]


@pytest.mark.slow
def test_shares_and_the_rest_make_the_whole_collection(done: dict[str, subprocess.CompletedProcess[str]]) -> None:
    with Path("objaverse/manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    share, whole = (ran for command, ran in done.items() if " data " in command)
    assert share.stdout.splitlines()[-1].startswith("3 objects")
    assert len(rows) == 6
    assert whole.stdout.splitlines()[-1].startswith("6 objects")
    rendered = {path.parent.name for path in Path("renders").glob("*/*/transforms.json")}
    assert rendered == {row["id"] for row in rows if split_of(row["id"]) != "test"}


@pytest.mark.slow
def test_two_processes_learn_log_validate_and_go_on(done: dict[str, subprocess.CompletedProcess[str]]) -> None:
    begun, gone_on = (ran for command, ran in done.items() if " train " in command)
    assert "2 process(es)" in begun.stderr
    assert "from step 0" in begun.stderr
    assert "from step 4" in gone_on.stderr
    assert re.search(r"^step 2 .*loss .*s per step$", begun.stderr, re.MULTILINE)
    assert re.search(r"^step 4  val_psnr [\d.]+$", begun.stderr, re.MULTILINE)
    with Path("logs/epipolar-decoder/version_0/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows if row["loss"]] == ["1", "3"]
    assert all(float(row["val_psnr"]) > 0 for row in rows if row["val_psnr"])


def test_the_slurm_file_is_a_shell_script_whose_training_is_the_one_of_the_page(tmp_path: Path) -> None:
    assert SLURM is not None
    (tmp_path / "train.slurm").write_text(SLURM[1])
    assert subprocess.run(["bash", "-n", "train.slurm"], cwd=tmp_path, check=False).returncode == 0
    started = next(line for line in SLURM[1].splitlines() if line.startswith("srun "))
    training = next(command for command in COMMANDS if " train " in command)
    wanted = shlex.split(training)[shlex.split(training).index("train") :]
    assert set(wanted) - set(shlex.split(started)) == set()
