"""The network that tells elevations learns them, and says how far off it is."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from epimesh.cli import main
from epimesh.data.procedural.generate import generate
from epimesh.data.solids.samples import sampled
from epimesh.data.solids.shards import save_shard
from epimesh.photo import Photo
from epimesh.runtime import Runtime
from epimesh.stages.elevation.estimate import estimated_elevation
from epimesh.training.elevation.training import reframed


def test_a_reframed_photo_is_white_where_nothing_is() -> None:
    photo = torch.ones(3, 4, 32, 32)
    photo[:, 3] = 0
    photo[:, :, 12:20, 10:24] = torch.tensor([0.2, 0.4, 0.6, 1.0])[:, None, None]
    found = reframed(photo)
    empty = found[:, 3] == 0
    assert empty.float().mean() > 0.5
    torch.testing.assert_close(found[:, :3].permute(0, 2, 3, 1)[empty], torch.ones(int(empty.sum()), 3))
    assert 0.5 < float(found[:, 3].sum() / photo[:, 3].sum()) < 1.5


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
def test_one_command_learns_and_exports_what_the_cut_out_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["epimesh"])
    save_shard([sampled(generate(3, 1), np.random.default_rng(0))], [0], tmp_path / "0-00000.safetensors")
    data = ["--data.folder", str(tmp_path), "--data.processes", "0", "--data.batch", "2"]
    trainer = ["--trainer.max_steps", "1", "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
    assert main(["train", "elevation", "--model.export", "made", *data, *trainer]) == 0
    photo = Photo(torch.rand(4, 64, 64), 0.0, 49.134)
    found = estimated_elevation(photo, "made", Runtime("cpu"))
    assert -10 <= found.degrees <= 70
    assert found.spread_deg > 0


def test_the_bundled_network_looks_the_same_way_at_a_mirrored_photo() -> None:
    photo = Photo(torch.rand(4, 64, 64, generator=torch.manual_seed(0)), 0.0, 49.134)
    mirrored = Photo(photo.rgba.flip(-1).contiguous(), 0.0, 49.134)
    one, other = (estimated_elevation(each, "bundled:elevation", Runtime("cpu")) for each in (photo, mirrored))
    assert one.degrees == pytest.approx(other.degrees, abs=1e-3)
