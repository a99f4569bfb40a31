"""Feature fields: composited as colour is, on a surface that stays, and better than any single map they are made of."""

from dataclasses import replace

import pytest
import torch

from epimesh.cameras import Cameras
from epimesh.diffusion.autoencoder import SmallAutoencoder
from epimesh.diffusion.decoder_tuning import tuned
from epimesh.diffusion.patch_autoencoder import PatchAutoencoder
from epimesh.errors import BadInput, StageMismatch
from epimesh.reconstruction.feature_field import FeatureField, FeatureFieldFit, GridHead, feature_field
from epimesh.reconstruction.frozen_rays import frozen_rays
from epimesh.reconstruction.neus.torch_render import composite, look_up, march
from epimesh.surface import GridSurface, trilinear


def painted_ball() -> GridSurface:
    axis = torch.linspace(-0.5, 0.5, 24)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    colors = torch.nn.functional.interpolate(torch.rand(1, 3, 4, 4, 4), (24,) * 3, mode="trilinear")[0]
    return GridSurface((x**2 + y**2 + z**2).sqrt() - 0.35, colors, 0.5)


torch.manual_seed(0)
BALL, RING = painted_ball(), Cameras.ring(16, size=16)
BLACK = torch.zeros(1)


def test_three_channels_that_are_the_colours_are_drawn_as_the_colours_are() -> None:
    rays = frozen_rays(BALL, RING)
    colours = rays.composite(trilinear(BALL.colors, rays.points / BALL.radius))
    head = GridHead(3, 24)
    head.grid.data.copy_(BALL.colors)
    drawn = FeatureField(head, BALL, torch.ones(3)).render(RING)
    torch.testing.assert_close(drawn, colours, atol=1e-5, rtol=0)


def test_the_weights_are_those_of_the_volume_rendering_that_surfaces_are_fitted_with() -> None:
    from epimesh.reconstruction.frozen_rays import BAND, SHARPNESS, STEP
    from epimesh.reconstruction.neus.kernel import Optics

    cell = 1.0 / 23
    optics = Optics(SHARPNESS / cell, BAND * cell, STEP * cell, 0.5, 1.0, 1.0, 0.01)
    cells = torch.cat([BALL.distances[None], BALL.colors]).flatten(1).T.contiguous()
    origins, directions = (part[0].reshape(-1, 3) for part in RING.rays())
    depths, count = march(cells, origins, directions, side=24, radius=0.5, optics=optics)
    points = origins[:, None] + depths[..., None] * directions[:, None]
    values = look_up(cells, points, 24, 0.5)
    fitted = composite(values[..., 0], values[..., 1:], points * 0, count, optics.sharpness).pixels
    coverage = frozen_rays(BALL, RING[0]).coverage.reshape(-1)
    torch.testing.assert_close(coverage, fitted[:, 3], atol=5e-3, rtol=0)


def test_learning_features_leaves_the_surface_without_a_gradient() -> None:
    surface = replace(BALL, distances=BALL.distances.clone().requires_grad_())
    field = feature_field(surface, torch.rand(16, 2, 16, 16), RING, FeatureFieldFit(steps=2), background=torch.zeros(2))
    assert surface.distances.grad is None
    assert torch.equal(surface.distances.detach(), BALL.distances)
    assert field.query(torch.zeros(5, 3)).shape == (5, 2)


@pytest.mark.parametrize("kind", ["grid", "dual", "simple"])
def test_a_constant_map_becomes_a_constant_field(kind: str) -> None:
    coverage = frozen_rays(BALL, RING).coverage
    how = FeatureFieldFit(kind=kind, side=12, steps=30, rate=0.1 if kind == "grid" else 4e-3)
    field = feature_field(BALL, 0.7 * coverage, RING, how, background=BLACK)
    drawn = field.render(RING)
    assert float((drawn - 0.7 * coverage).abs()[coverage > 0.99].mean()) < 0.15  # after 30 steps
    beside = torch.nn.functional.max_pool2d(coverage, 3, stride=1, padding=1) == 0
    assert float(drawn[beside].abs().max()) == 0


def test_a_field_of_parts_is_better_than_any_noisy_map_that_it_is_made_of() -> None:
    truth = replace(BALL, colors=(torch.linspace(-1, 1, 24) > 0).float().expand(3, 24, 24, 24).contiguous())
    rays = frozen_rays(truth, RING)
    part = rays.composite(trilinear(truth.colors, rays.points / 0.5), background=0.0)[:, :1]
    noisy = part + 0.5 * torch.randn_like(part)
    how = FeatureFieldFit(side=10, steps=160, rate=0.05)
    drawn = feature_field(truth, noisy, RING, how, background=BLACK).render(RING)
    inside = rays.coverage > 0.99

    def iou(found: torch.Tensor) -> float:
        first, second = (one[inside] > 0.5 for one in (found, part))
        return float((first & second).sum() / (first | second).sum())

    assert iou(drawn) > iou(noisy) + 0.1


def test_what_is_like_a_place_is_found_on_the_surface() -> None:
    head = GridHead(2, 2)
    head.grid.data[:, 0], head.grid.data[:, 1] = (
        torch.tensor([1.0, 0]).view(2, 1, 1),
        torch.tensor([0, 1.0]).view(2, 1, 1),
    )
    field = FeatureField(head, BALL, torch.zeros(2))
    near, far = field.similarity(torch.tensor([[-0.5, 0, 0], [0.5, 0, 0]]), torch.tensor([1.0, 0]))
    assert near == pytest.approx(1)
    assert far == pytest.approx(0)


def test_what_cannot_be_a_field_is_said() -> None:
    with pytest.raises(StageMismatch, match="3 maps of 24 x 12, and 16 cameras of 16 x 16"):
        feature_field(BALL, torch.rand(3, 1, 12, 24), RING, FeatureFieldFit(), background=BLACK)
    with pytest.raises(BadInput, match="a grid field knows no directions"):
        FeatureFieldFit(directional=True)


def test_a_decoder_tuned_to_a_scene_gains_there_and_the_given_one_stays() -> None:
    network = PatchAutoencoder(latent_channels=4, widths=(8, 8, 8), blocks=1)
    given, images = SmallAutoencoder(network), torch.rand(2, 4, 16, 16)
    latents = given.encode(images)
    before = given.decode(latents)
    scene = tuned(given, latents, images, steps=30, rate=1e-2)
    assert torch.equal(given.decode(latents), before)
    assert (scene.decode(latents) - images).square().mean() < 0.8 * (before - images).square().mean()
    with pytest.raises(StageMismatch, match="an image of that size for each"):
        tuned(given, latents, images[..., :8])
