"""Generators as guides: they predict what their stages predict, and say which views they know."""

from pathlib import Path

import pytest
import torch
from gaussian_guide import GaussianGuide
from published_folders import noisy_photo, save_zero123
from test_syncdreamer_small import joint_denoiser, tied, view_denoiser

from epimesh.cameras import Cameras
from epimesh.diffusion.patch_autoencoder import PatchAutoencoder
from epimesh.diffusion.sampler import Ddim
from epimesh.diffusion.schedules import uniform_timesteps
from epimesh.diffusion.score_guide import Guiding, NullGuide, ScoreGuide, as_noise, guide_of
from epimesh.errors import BadInput, StageMismatch
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.runtime import Runtime
from epimesh.stages import SmallSyncDreamer, SmallZero123, Zero123
from epimesh.stages.coarse_prior.network import RingRegressor
from epimesh.stages.zero123.small_network import small_scheduler

CPU = Runtime("cpu")
RING = Cameras.ring(16, size=128)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guides")
    view_denoiser().save(folder / "small-zero123", small_scheduler())
    tied(joint_denoiser()).save(folder / "small-syncdreamer", small_scheduler())
    PatchAutoencoder(latent_channels=4, widths=(8, 8, 8), blocks=1).save_pretrained(folder / "vae")
    RingRegressor(latent_channels=4, codes=6, width=16, hidden=16, blocks=1).save_pretrained(folder / "prior")
    save_zero123(folder / "zero123")
    return folder


def small(kind: type, folder: Path, name: str) -> ViewGenerator:
    parts = {"prior": str(folder / "prior"), "autoencoder": str(folder / "vae")}
    return kind(weights=str(folder / name), start=1000, steps=2, **parts)


@pytest.fixture(params=["small-zero123", "small-syncdreamer", "zero123"])
def stage(request: pytest.FixtureRequest, folder: Path) -> ViewGenerator:
    if request.param == "zero123":
        return Zero123(weights=str(folder / "zero123"), attention="sdpa")
    return small(SmallZero123 if request.param == "small-zero123" else SmallSyncDreamer, folder, request.param)


def test_every_generator_of_views_of_one_photo_can_guide(stage: ViewGenerator) -> None:
    assert isinstance(stage, Guiding)
    guide = guide_of(stage, CPU, stage.latent_space)
    assert isinstance(guide, ScoreGuide)
    images = torch.rand(16, 4, guide.image_size, guide.image_size, requires_grad=True)
    latents = guide.encode(images)
    assert latents.shape[-1] == guide.latent_size
    latents.sum().backward()
    assert images.grad.abs().max() > 0
    x = torch.randn_like(latents)
    with torch.no_grad():
        none, plain, double = (guide.denoiser(noisy_photo(), RING, scale)(x, 400) for scale in (0.0, 1.0, 2.0))
    assert plain.shape == x.shape
    assert not torch.equal(none, plain)
    torch.testing.assert_close(double, 2 * plain - none, atol=1e-4, rtol=1e-4)


def test_a_small_guide_samples_what_its_stage_samples(folder: Path) -> None:
    stage, photo = small(SmallZero123, folder, "small-zero123"), noisy_photo()
    made = stage(photo, runtime=CPU).latents
    guide = guide_of(stage, CPU)
    noise = torch.randn(made.shape, generator=CPU.generator("zero123"))
    sampler = Ddim(schedule=guide.schedule, timesteps=uniform_timesteps(2), prediction=guide.prediction)
    with torch.no_grad():
        torch.testing.assert_close(sampler(guide.denoiser(photo, RING, 1.0), noise), made, atol=1e-4, rtol=1e-4)


def test_small_guides_say_which_views_they_know(folder: Path) -> None:
    single = guide_of(small(SmallZero123, folder, "small-zero123"), CPU)
    odd = Cameras.on_sphere(torch.tensor([10.0]), torch.tensor([30.0]), size=128)
    with pytest.raises(BadInput, match=r"azimuth 10\.0 and elevation 30\.0"):
        single.denoiser(noisy_photo(), odd, 1.0)
    joint = guide_of(small(SmallSyncDreamer, folder, "small-syncdreamer"), CPU)
    with pytest.raises(BadInput, match="4 views were asked of a guide that sees all 16"):
        joint.denoiser(noisy_photo(), RING[[0, 1, 2, 3]], 1.0)


def test_a_guide_of_another_latent_space_is_refused(folder: Path) -> None:
    with pytest.raises(StageMismatch, match="works on 'sd' latents, the views are 'patch'"):
        guide_of(Zero123(weights=str(folder / "zero123")), CPU, "patch")


def test_the_hand_made_guide_is_one() -> None:
    assert isinstance(GaussianGuide(torch.zeros(4)), ScoreGuide)


def test_the_embedding_of_no_condition_can_be_learned(folder: Path) -> None:
    for stage in (small(SmallZero123, folder, "small-zero123"), Zero123(weights=str(folder / "zero123"))):
        guide, view = guide_of(stage, CPU), RING[[2]]
        assert isinstance(guide, NullGuide)
        parts = guide.null_parts(noisy_photo(), view)
        x = torch.randn(1, 4, guide.latent_size, guide.latent_size)
        without = as_noise(guide.denoiser(noisy_photo(), view, 0.0), guide.schedule, guide.prediction)
        torch.testing.assert_close(parts.unconditional(x, 300, parts.null), without(x, 300), atol=1e-5, rtol=1e-5)
        learned = parts.null.clone().requires_grad_()
        parts.unconditional(x, 300, learned).sum().backward()
        assert float(learned.grad.abs().max()) > 0
