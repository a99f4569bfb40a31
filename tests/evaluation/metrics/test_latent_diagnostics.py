"""Diagnostics of latents and guidance: what an identity scores, what noise correlates, and what components show."""

from dataclasses import replace

import pytest
import torch
from gaussian_guide import SCHEDULE, gaussian
from torch import nn

from epimesh.cameras import Cameras
from epimesh.diffusion.autoencoder import Autoencoder
from epimesh.diffusion.schedules import uniform_timesteps
from epimesh.errors import BadInput
from epimesh.evaluation.metrics.equivariance import equivariance, transforms
from epimesh.evaluation.metrics.feature_components import features, joint_components
from epimesh.evaluation.metrics.patch_correlation import correlation, matches, patch_correlations
from epimesh.evaluation.metrics.trajectory import trajectory
from epimesh.stages.zero123.small_network import LoadedDenoiser, small_view_denoiser
from epimesh.surface import GridSurface
from epimesh.views import Views


class Identity(Autoencoder):
    latent_space, factor, latent_channels = "pixels", 1, 4

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return images

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return latents


IDENTITY = Identity(nn.Identity())


def painted_ball() -> Views:
    axis = torch.linspace(-0.5, 0.5, 32)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    colors = torch.rand(3, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    return GridSurface((x**2 + y**2 + z**2).sqrt() - 0.35, colors, 0.5).render(Cameras.ring(16, size=64))


VIEWS = painted_ball()


def test_an_identity_moves_everything_as_pictures_are_moved() -> None:
    rows = equivariance(IDENTITY, torch.rand(2, 4, 64, 64))
    assert [row.transform for row in rows] == [transform.name for transform in transforms()]
    assert all(row.psnr >= 99 for row in rows)


def test_an_average_over_patches_moves_by_quarter_turns_but_not_by_others() -> None:
    class Mean(Identity):
        factor = 8

        def encode(self, images: torch.Tensor) -> torch.Tensor:
            return nn.functional.avg_pool2d(images, 8)

        def decode(self, latents: torch.Tensor) -> torch.Tensor:
            return nn.functional.interpolate(latents, scale_factor=8.0)

    found = {row.transform: row.psnr for row in equivariance(Mean(nn.Identity()), torch.rand(2, 4, 64, 64))}
    assert found["turn 90"] == pytest.approx(found["identity"], abs=0.01)


def test_identical_patches_correlate_fully_and_noise_not_at_all() -> None:
    generator, side = torch.Generator().manual_seed(0), 9
    first, second = (torch.randn(3, 64, 64, generator=generator) for _ in range(2))
    places = torch.rand(400, 2, generator=generator) * 40 + 12
    cameras = Cameras.ring(1, size=64)
    torch.testing.assert_close(correlation(first, places, first, places, cameras, side), torch.ones(400))
    centres = places.floor() + 0.5
    chance = correlation(first, centres, second, centres, cameras, side)
    assert float(chance.abs().max()) < 5 / (3 * side**2) ** 0.5
    assert abs(float(chance.mean())) < 0.02


def test_matches_show_the_same_place_of_the_surface() -> None:
    here, there, _ = matches(VIEWS, 0, 1, torch.Generator().manual_seed(0))
    assert len(here) > 20
    points = [
        VIEWS.cameras[view].unproject(VIEWS.depth[view][None])[0][place[:, 1].long(), place[:, 0].long()]
        for view, place in ((0, here), (1, there))
    ]
    assert float((points[0] - points[1]).norm(dim=-1).median()) < 0.03


def test_pixels_of_near_views_correlate_more_than_chance() -> None:
    nearest, *_ = patch_correlations(IDENTITY, VIEWS, torch.Generator().manual_seed(0))
    assert nearest.angle_deg < 30
    assert nearest.pixels > nearest.pixels_by_chance + 0.3
    with pytest.raises(BadInput, match="The views hold no depth"):
        patch_correlations(IDENTITY, replace(VIEWS, depth=None), torch.Generator())


def test_steady_predictions_have_cosine_one_and_noise_has_none() -> None:
    generator = torch.Generator().manual_seed(0)
    noise, times = torch.randn(1, 3, 16, 16, generator=generator), uniform_timesteps(20)
    steady = gaussian(torch.full((1,), 0.5), 0.05)
    found = trajectory(
        lambda x, _: torch.randn(x.shape, generator=generator), steady, noise, times, SCHEDULE, guidance=0.0
    )
    assert found.unconditional.shape == (19,)
    assert float(found.unconditional.min()) > 0.8
    assert float(found.conditional.abs().max()) < 0.2
    torch.testing.assert_close(found.clean, torch.full_like(found.clean, 0.5), atol=0.25, rtol=0)


def test_components_are_joint_and_come_from_every_kind_of_layer() -> None:
    network = small_view_denoiser((16, 32), latent_channels=4, prior_channels=4).eval()
    loaded = LoadedDenoiser(network, SCHEDULE, "v")
    latents = torch.randn(1, 4, 16, 16).repeat(4, 1, 1, 1)
    found = features(loaded, latents, VIEWS[[0, 1, 2, 3]], 300, torch.Generator().manual_seed(0))
    assert any("attn1.to_q" in name for name in found)
    assert any("resnets" in name for name in found)
    maps = joint_components(found[next(iter(found))])
    assert maps.shape[:2] == (4, 3)
    assert 0 <= float(maps.min()) <= float(maps.max()) <= 1
    alike = joint_components(torch.randn(1, 8, 6, 6).repeat(2, 1, 1, 1))
    torch.testing.assert_close(alike[0], alike[1], atol=1e-5, rtol=1e-5)
