"""The volume prior learns from photos beside their solids, drawn meanwhile."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from epimesh.cameras import Cameras
from epimesh.cli import main
from epimesh.data.procedural.generate import generate
from epimesh.data.solids.samples import sampled
from epimesh.data.solids.shards import save_shard
from epimesh.stages.volume_prior.network import (
    Volume,
    VolumeNetwork,
    cell_centres,
    load_volume_network,
    occupancy_at,
    projected,
)
from epimesh.stages.volume_prior.network import sampled as sampled_image
from epimesh.training.volume_prior.batches import SolidBatch, SolidBatches
from epimesh.training.volume_prior.losses import object_rays, volume_losses


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one shard: a real and a procedural object, as far as anyone can tell."""
    folder = tmp_path_factory.mktemp("solids")
    samples = [sampled(generate(3, index), np.random.default_rng(index)) for index in (1, 2)]
    save_shard(samples, [0, 1], folder / "0-00000.safetensors")
    return folder


@pytest.fixture(scope="module")
def batch(shards: Path) -> SolidBatch:
    """Two photos."""
    return next(iter(SolidBatches(shards, batch=2, seed=1)))


def small_network() -> VolumeNetwork:
    """A real one with few channels."""
    torch.manual_seed(0)
    return VolumeNetwork((8, 16, 16, 16), seen=8, widths=(8, 16, 16), narrow=8, blocks=1, summary=16)


def test_batches_are_half_real_and_half_procedural_and_the_same_for_the_same_seed(shards: Path) -> None:
    first, second = (next(iter(SolidBatches(shards, batch=4, seed=5))) for _ in range(2))
    assert first.group.tolist() == [0, 1, 0, 1]
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


def test_points_of_the_surface_appear_where_the_photo_shows_the_object(batch: SolidBatch) -> None:
    for row in range(2):
        camera = Cameras.on_sphere(torch.zeros(1), batch.told_deg[row : row + 1], size=128)
        pixels, _ = camera.project(batch.surface[row])
        column, line = pixels[:, 0].long().clamp(0, 127).unbind(1)
        assert (batch.photo[row, 3, line, column] > 0).float().mean() > 0.95


def test_points_on_the_objects_rays_project_to_pixels_that_it_covers(batch: SolidBatch) -> None:
    rays = object_rays(batch.photo, batch.told_deg)
    camera = Cameras.on_sphere(torch.zeros(1), batch.told_deg[:1], size=128)
    pixels, _ = camera.project(rays[0].flatten(0, 1))
    column, line = pixels[:, 0].floor().long().unbind(1)
    assert (batch.photo[0, 3, line, column] > 0.9).all()


def test_a_few_steps_on_one_batch_make_shapes_and_colours_likelier(batch: SolidBatch) -> None:
    network, ring = small_network(), torch.zeros(2, 16, 4, 16, 16)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    found = []
    for _ in range(25):
        losses = volume_losses(network, batch, ring)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        found.append({name: float(loss.detach()) for name, loss in losses.items()})
    for name in ("cells", "dice", "color"):
        assert found[-1][name] < found[0][name], name


def test_nothing_and_everything_have_more_loss_than_the_object(batch: SolidBatch) -> None:
    """The last layer's bias alone makes the volume empty or full; targets of either kind make that right."""
    network, ring = small_network(), torch.zeros(2, 16, 4, 16, 16)
    for bias, right in ((-12.0, False), (12.0, True)):
        with torch.no_grad():
            network.mix[2].bias[:8] = bias
            wrong = volume_losses(network, batch, ring)
            suited = volume_losses(network, batch._replace(solid=torch.full_like(batch.solid, right)), ring)
        assert wrong["cells"] > 100 * suited["cells"]
        assert wrong["dice"] > suited["dice"]
        assert (wrong["silhouette"] > 1) == (bias < 0)  # rays of the object meet nothing


def test_cells_of_the_solid_lie_within_the_photos_silhouette(batch: SolidBatch) -> None:
    centres = cell_centres(64, torch.device("cpu"))
    for row in range(2):
        pixels, _ = projected(centres[None], batch.told_deg[row : row + 1])
        covered = sampled_image(batch.photo[row : row + 1, 3:], pixels)[0, 0] > 0.1
        inside = batch.solid[row].flatten()
        assert 0 < inside.float().mean() < 0.3
        assert covered[inside].float().mean() > 0.98


def test_without_a_guess_the_guess_has_no_say(batch: SolidBatch) -> None:
    network, none = small_network().eval(), torch.zeros(2, 16, 4, 16, 16)
    with torch.no_grad():
        before = network(batch.photo, none, batch.told_deg).occupancy
        network.trust.mul_(100)
        after = network(batch.photo, none, batch.told_deg).occupancy
    assert torch.equal(before, after)


def test_points_between_cells_have_what_the_cells_say() -> None:
    centres = cell_centres(64, torch.device("cpu"))
    slope = centres @ torch.tensor([1.0, 2.0, -3.0])
    volume = Volume(slope.reshape(1, 64, 64, 64), torch.zeros(1, 3, 32, 32, 32), torch.zeros(1, 1, 32, 32, 32))
    points = (torch.rand(1, 50, 3, generator=torch.manual_seed(0)) - 0.5) * 1.1
    torch.testing.assert_close(
        occupancy_at(volume, points)[0], points[0] @ torch.tensor([1.0, 2.0, -3.0]), atol=1e-4, rtol=0
    )


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
def test_one_command_draws_objects_learns_and_exports_what_the_stage_loads(
    tmp_path: Path, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["epimesh"])
    data = ["--data.folder", str(shards), "--data.processes", "0", "--data.batch", "2"]
    trainer = ["--trainer.max_steps", "1", "--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"]
    assert main(["train", "volume-prior", "--model.export", "made", *data, *trainer]) == 0
    network = load_volume_network("made")
    found = network(torch.zeros(1, 4, 128, 128), torch.zeros(1, 16, 4, 16, 16), torch.zeros(1))
    assert found.occupancy.shape == (1, 64, 64, 64)
