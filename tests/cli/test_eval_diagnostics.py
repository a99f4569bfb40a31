"""`epimesh eval latents` and `guidance` through the command line, with tiny networks."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from test_syncdreamer_small import view_denoiser

from epimesh.cameras import Cameras
from epimesh.cli import main
from epimesh.diffusion.patch_autoencoder import PatchAutoencoder
from epimesh.stages.coarse_prior.network import RingRegressor
from epimesh.stages.zero123.small_network import small_scheduler
from epimesh.surface import GridSurface
from epimesh.views import to_picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diagnostics")
    torch.manual_seed(0)
    PatchAutoencoder(latent_channels=4, widths=(8, 8, 8), blocks=1).save_pretrained(folder / "vae")
    RingRegressor(latent_channels=4, codes=6, width=16, hidden=16, blocks=1).save_pretrained(folder / "prior")
    view_denoiser().save(folder / "zero123", small_scheduler())
    axis = torch.linspace(-0.5, 0.5, 24)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    ball = GridSurface((x**2 + y**2 + z**2).sqrt() - 0.35, torch.rand(3, 8, 8, 8), 0.5)
    ball.render(Cameras.ring(16, size=128)[[0, 1, 2, 5]]).save(folder / "views")
    shown = ball.render(Cameras.ring(1, size=128))
    to_picture(torch.cat([shown.rgb[0], shown.alpha[0]])).save(folder / "ball.png")
    return folder


def test_latents_get_their_table_and_their_pictures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "latents"
    given = ["eval", "latents", str(folder / "vae"), str(folder / "views"), "--out", str(out)]
    assert main([*given, "--denoiser", str(folder / "zero123")]) == 0
    shown = capsys.readouterr().out
    assert "turn 45" in shown
    assert "by chance" in shown
    assert {"moved.png", "matched.png", "components.png"} <= {path.name for path in out.iterdir()}
    assert Image.open(out / "components.png").size[0] == 4 * 128
    rows = json.loads((out / "latents.json").read_text())
    assert len(rows["moved"]) == 12


def test_guidance_gets_its_curve(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "guidance"
    parts = [f"--{name}={folder / place}" for name, place in (("weights", "zero123"), ("autoencoder", "vae"))]
    given = ["eval", "guidance", str(folder / "ball.png"), *parts, f"--prior={folder / 'prior'}"]
    assert main([*given, "--steps=3", "--guidance=[2,1]", f"--out={out}"]) == 0
    assert "saturated" in capsys.readouterr().out
    assert {"guidance.png", "sampled.png", "guidance.json"} == {path.name for path in out.iterdir()}
    assert main([*given, "--steps=1"]) == 2
    assert "at least two steps" in capsys.readouterr().err
