"""The small epipolar decoder learns to use what it sees elsewhere, and what it learned can be used."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from epimesh.data.posed.depth_noise import DepthNoise
from epimesh.decoders.epipolar.small_network import SmallEpipolarVae
from epimesh.diffusion.patch_autoencoder import PatchAutoencoder
from epimesh.training.data.pack_data import on_white
from epimesh.training.data.picture_buffer import RingWithDepth
from epimesh.training.epipolar.small_training import SmallEpipolarDecoderTraining, disturbed, ring_cameras
from epimesh.weights.loading import load_network

OBJECTS, VIEWS, SIZE = 2, 6, 32


def batch() -> RingWithDepth:
    random = torch.Generator().manual_seed(0)
    rgba = torch.randint(256, (OBJECTS, VIEWS, 4, SIZE, SIZE), dtype=torch.uint8, generator=random)
    rgba[:, :, 3] = 255
    depth = torch.full((OBJECTS, VIEWS, SIZE, SIZE), torch.inf)
    depth[..., 8:24, 8:24] = 1.4
    return RingWithDepth(rgba, depth, rgba[:, 0], torch.tensor([30.0, 10.0]))


@pytest.fixture
def training(tmp_path: Path) -> SmallEpipolarDecoderTraining:
    torch.manual_seed(0)
    PatchAutoencoder(6, widths=(16, 16, 8), blocks=1).save_pretrained(tmp_path / "vae")
    return SmallEpipolarDecoderTraining(str(tmp_path / "export"), autoencoder=str(tmp_path / "vae"), views_per_step=2)


def step(training: SmallEpipolarDecoderTraining, **given: Tensor) -> float:
    optimizer = torch.optim.Adam(training.network.parameters(), 1e-2)  # steps of one size, however small the slope
    loss = training.loss(batch(), **given)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


def test_after_a_few_steps_everything_that_can_learn_has_changed(training: SmallEpipolarDecoderTraining) -> None:
    before = {name: parameter.detach().clone() for name, parameter in training.network.named_parameters()}
    for _ in range(5):  # what starts at zero has to move first, then what feeds it
        step(training)
    unchanged = [
        name for name, parameter in training.network.named_parameters() if torch.equal(parameter, before[name])
    ]
    assert unchanged == []


def test_the_loss_does_not_mind_where_nothing_is_known(training: SmallEpipolarDecoderTraining) -> None:
    step(training)
    empty = batch()._replace(depth=torch.full((OBJECTS, VIEWS, SIZE, SIZE), torch.inf))
    loss = training.loss(empty)
    loss.backward()
    assert loss.isfinite()
    assert all(one.grad is None or one.grad.isfinite().all() for one in training.network.parameters())


def test_bf16_autocast_changes_the_loss_by_rounding_only(training: SmallEpipolarDecoderTraining) -> None:
    for parameter in training.network.attentions.parameters():
        torch.nn.init.normal_(parameter, std=0.1)

    def loss() -> Tensor:
        torch.manual_seed(3)
        training._random = torch.Generator().manual_seed(3)
        return training.loss(batch())

    exact = loss()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = loss()
    rounded.backward()
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0)


def test_given_latents_take_the_place_of_the_true_ones(training: SmallEpipolarDecoderTraining) -> None:
    true = training.network.plain.encode(on_white(batch().rgba.flatten(0, 1))).unflatten(0, (OBJECTS, VIEWS))
    training.latent_noise = 0.0
    training.depth_noise = DepthNoise(kind="none")
    torch.manual_seed(1)
    encoded = training.loss(batch())
    torch.manual_seed(1)
    torch.rand(2, OBJECTS), torch.randn(OBJECTS * VIEWS, 6, 4, 4), torch.randn(OBJECTS * VIEWS, 6, 4, 4)
    given = training.loss(batch(), latents=true)
    torch.testing.assert_close(given, encoded)
    assert not torch.allclose(training.loss(batch(), latents=true + 3), given, rtol=0.05)


def test_noise_on_latents_has_the_strength_that_is_asked_for_and_differs_between_views() -> None:
    torch.manual_seed(0)
    latents = torch.randn(64, 2, 3, 8, 8) * torch.tensor([1.0, 2.0, 0.5])[:, None, None]
    assert torch.equal(disturbed(latents, 0.0), latents)
    error = (disturbed(latents, 0.4) - latents) / latents.std((0, 1, 3, 4))[:, None, None]
    strengths = error.flatten(1).std(1)
    assert strengths.min() < 0.1
    assert 0.25 < strengths.max() < 0.6
    assert not torch.allclose(error[:, 0], error[:, 1])


def test_a_trained_network_copies_what_the_photo_shows_and_latents_do_not(
    training: SmallEpipolarDecoderTraining,
) -> None:
    """Latents without anything to say: only the photo, seen by its own camera, can tell the first view's colours."""
    training.depth_noise = DepthNoise(kind="none")
    torch.manual_seed(0)
    flat = torch.randint(256, (8, 4, 1, 1), dtype=torch.uint8).expand(-1, -1, SIZE, SIZE).clone()
    flat[:, 3] = 255
    rings = flat[:, None].expand(-1, VIEWS, -1, -1, -1)
    depth = torch.full((8, VIEWS, SIZE, SIZE), 1.5)
    told = RingWithDepth(rings, depth, flat, torch.full((8,), 30.0))
    silent = torch.zeros(8, VIEWS, 6, SIZE // 8, SIZE // 8)
    optimizer = torch.optim.Adam(training.network.parameters(), 1e-2)
    for _ in range(80):
        training.loss(told, latents=silent).backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        segments = training.segments(*ring_cameras(told), told.depth)
        made = training.network(silent, segments, on_white(told.photo)[:, :3])
    middle = made[:, 0, :3, 12:20, 12:20].mean((2, 3)).flatten()
    assert torch.corrcoef(torch.stack([middle, on_white(flat)[:, :3, 0, 0].flatten()]))[0, 1] > 0.6


def test_the_export_loads_as_what_was_averaged(training: SmallEpipolarDecoderTraining) -> None:
    step(training)
    training.averaged.update(training.network)
    training.save_for_use()
    loaded = load_network(SmallEpipolarVae, training.export)
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, training.averaged.weights[name].half().float())
    assert loaded.config["neighbours"] == training.network.config["neighbours"]
