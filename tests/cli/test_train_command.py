"""`epimesh train` on the configurations that ship: any setting from the command line, mistakes told."""

import csv
import re
import sys
from pathlib import Path

import pytest
import torch

from epimesh.cameras import RING
from epimesh.cli import main
from epimesh.data.packs.view_pack import ViewPack
from epimesh.diffusion.autoencoder import load_autoencoder


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One pack of blurred noise in views of 64 pixels; the working directory is beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["epimesh"])
    noise = torch.nn.functional.interpolate(torch.rand(20, 4, 9, 9), (64, 64), mode="bicubic").clamp(0, 1)
    pack = ViewPack(
        rgba=(noise * noise[:, 3:] * 255).to(torch.uint8),
        azimuth_index=torch.arange(20) % RING,
        elevation_deg=torch.full((20,), 30.0),
        id="noise",
        family="noise",
        split="train",
        realistic=False,
        licence="CC0-1.0",
        scale=1.0,
    )
    (tmp_path / "packs").mkdir()
    pack.save(tmp_path / "packs" / "noise.safetensors")
    return tmp_path / "packs"


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
def test_two_steps_of_a_training_that_ships_export_weights_that_load(packs: Path) -> None:
    settings = ["--data.train", "[packs]", "--model.export", "made", "--model.fit_batches", "2"]
    trainer = [
        "--trainer.log_every_n_steps",
        "1",
        "--trainer.max_steps",
        "2",
        "--trainer.enable_progress_bar",
        "false",
        "--trainer.accelerator",
        "cpu",
    ]
    assert main(["train", "patch-autoencoder", *settings, *trainer]) == 0
    assert (packs.parent / "logs" / "patch-autoencoder" / "version_0" / "metrics.csv").is_file()
    autoencoder = load_autoencoder("made")
    assert autoencoder.decode(autoencoder.encode(torch.rand(1, 4, 64, 64))).shape == (1, 4, 64, 64)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "patch-autoencoder"),
        (["patch-autoencoder", "--data.train", "[nowhere]", "--trainer.max_steps", "1"], "epimesh render"),
        (["patch-autoencoder", "--data.packs", "[packs]"], "packs"),
        (["patch-autoencoder", "--model.minutes", "many"], "minutes"),
    ],
    ids=["unknown training", "no packs", "unknown setting", "wrong type"],
)
def test_a_mistake_gets_a_message_and_exit_code_2(
    packs: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_without_arguments_the_trainings_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("patch-autoencoder", "coarse-prior", "zero123-small"))


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
def test_a_folder_with_checkpoints_is_never_begun_anew_and_goes_on_when_asked(
    packs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    small = ["--model.autoencoder", "bundled:patch-vae", "--data.batch", "2", "--trainer.accelerator", "cpu"]
    settings = ["zero123-small", "--data.train", "packs", *small, "--out", "mine", "--trainer.log_every_n_steps", "1"]
    assert main(["train", *settings, "--trainer.max_steps", "1"]) == 0
    assert (packs.parent / "mine" / "last.ckpt").is_file()
    assert "from step 0" in capfd.readouterr().err
    assert main(["train", *settings, "--trainer.max_steps", "2"]) == 2
    assert "mine holds last.ckpt of an earlier training" in capfd.readouterr().err
    assert main(["train", *settings, "--trainer.max_steps", "2", "--resume"]) == 0
    told = capfd.readouterr().err
    assert "from step 1" in told
    assert re.search(r"^step 2 .*loss [\d.]+ .* s per step$", told, re.MULTILINE)
    with (packs.parent / "logs" / "zero123-small" / "version_1" / "metrics.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1"]


def test_loggers_that_are_not_installed_are_named_with_the_extra(
    packs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    settings = ["patch-autoencoder", "--data.train", "packs", "--trainer.logger", "WandbLogger"]
    assert main(["train", *settings]) == 2
    assert "pip install 'epimesh[train]'" in capsys.readouterr().err


def test_missing_weights_of_stable_video_diffusion_come_with_the_commands_that_bring_them(
    packs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "epipolar-decoder", "--data.train", "packs"]) == 2
    told = capsys.readouterr().err
    assert "hf download stabilityai/stable-video-diffusion-img2vid" in told
    assert "--model.svd hub:" in told
