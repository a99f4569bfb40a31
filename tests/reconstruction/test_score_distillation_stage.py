"""Score distillation as a stage: it paints what guide and photo say, keeps the shape, and knows when to stop."""

from dataclasses import replace

import pytest
import torch
from gaussian_guide import GaussianGuide, Knowing

from epimesh.cameras import Cameras
from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.reconstruction import ScoreDistillation
from epimesh.reconstruction.frozen_rays import frozen_rays
from epimesh.runtime import Runtime
from epimesh.stages import CoarsePrior
from epimesh.surface import GridSurface, Surface, trilinear

RED, GREEN = torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1, 0.9, 0.1])


def ball(color: torch.Tensor, side: int = 24) -> GridSurface:
    axis = torch.linspace(-0.5, 0.5, side)
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    return GridSurface((x**2 + y**2 + z**2).sqrt() - 0.3, color[:, None, None, None].expand(3, 12, 12, 12).clone(), 0.5)


def photo_of(surface: GridSurface) -> Photo:
    camera = Cameras.on_sphere(torch.zeros(1), torch.tensor([20.0]), size=16)
    shown = surface.render(camera)
    return Photo(torch.cat([shown.straight_rgb()[0], shown.alpha[0]]), 20.0, 49.134)


GREY = ball(torch.full((3,), 0.5))
VIEWS = GREY.render(Cameras.ring(16, size=16))
PHOTO = photo_of(ball(GREEN))


def stage(guide: GaussianGuide, **settings: object) -> ScoreDistillation:
    return ScoreDistillation(guide=Knowing(make=lambda: guide), steps=40, rate=0.02, **settings)


def front_and_back(surface: GridSurface) -> tuple[torch.Tensor, torch.Tensor]:
    found = surface.color(torch.tensor([[0.3, 0, 0], [-0.3, 0, 0]]), torch.zeros(2, 3))
    return found[0], found[1]


def test_colour_is_composited_with_the_weights_of_every_other_feature() -> None:
    axis = torch.linspace(0, 1, 12)
    surface = replace(GREY, colors=torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")))
    cameras = Cameras.ring(4, size=32)
    rays = frozen_rays(surface, cameras)
    drawn = rays.composite(trilinear(surface.colors, rays.points / surface.radius))
    marched = surface.render(cameras)
    inside = -torch.nn.functional.max_pool2d(-marched.alpha, 5, stride=1, padding=2) > 0.5
    assert float((drawn - marched.rgb).abs()[inside.expand_as(drawn)].max()) < 0.03
    assert float(rays.coverage[inside].min()) > 0.99
    constant = rays.composite(torch.full((len(rays.points), 1), 7.0), background=7.0)
    torch.testing.assert_close(constant, torch.full_like(constant, 7.0), atol=1e-5, rtol=0)


@pytest.mark.parametrize("space", ["rgb", "latent"])
def test_unseen_sides_take_the_guides_colour_and_the_photos_side_the_photos(space: str) -> None:
    guide = GaussianGuide(torch.cat([RED, torch.ones(1)]))
    painted = stage(guide, space=space, photo_weight=20.0)(GREY, VIEWS, PHOTO, runtime=Runtime("cpu"))
    front, back = front_and_back(painted)
    assert back[0] - back[1] > 0.2
    assert front[1] - front[0] > 0.1
    assert torch.equal(painted.distances, GREY.distances)


def test_pixels_go_through_the_encoder_in_every_step_and_latents_never_again() -> None:
    pixels, latents = (GaussianGuide(torch.full((4,), 0.5)) for _ in range(2))
    for space, guide in (("rgb", pixels), ("latent", latents)):
        replace(stage(guide, space=space), steps=7)(GREY, VIEWS, PHOTO, runtime=Runtime("cpu"))
    assert pixels.encoded == [True] * 7
    assert latents.encoded == [False] * 3  # the views, the photo and an empty image, before the first step


def test_it_stops_and_goes_back_when_colours_saturate() -> None:
    guide, runtime = GaussianGuide(torch.full((4,), 9.0)), Runtime("cpu")
    painted = replace(stage(guide, photo_weight=0.0), rate=0.05)(GREY, VIEWS, PHOTO, runtime=runtime)
    assert "of the colours were saturated, 0% before" in runtime.reporter.notes[0]
    assert float(painted.colors.max()) < 0.99


def test_the_shape_moves_only_when_asked_to() -> None:
    guide = GaussianGuide(torch.cat([RED, torch.ones(1)]))
    moved = replace(stage(guide, distances=True), steps=2)(GREY, VIEWS, PHOTO, runtime=Runtime("cpu"))
    assert not torch.equal(moved.distances, GREY.distances)


class Formula(Surface):
    radius = 0.5


def test_what_cannot_work_is_said() -> None:
    guided = stage(GaussianGuide(torch.zeros(4)))
    with pytest.raises(BadInput, match="needs the photo"):
        guided(GREY, VIEWS, None, runtime=Runtime("cpu"))
    with pytest.raises(BadInput, match="a Formula, which keeps no grid of colours"):
        guided(Formula(), VIEWS, PHOTO, runtime=Runtime("cpu"))
    with pytest.raises(BadInput, match="guide is CoarsePrior"):
        ScoreDistillation(guide=CoarsePrior())(GREY, VIEWS, PHOTO, runtime=Runtime("cpu"))
    with pytest.raises(BadInput, match="distances is on and space is latent"):
        ScoreDistillation(guide=CoarsePrior(), distances=True, space="latent")
    with pytest.raises(BadInput, match="guidance is -1"):
        ScoreDistillation(guide=CoarsePrior(), guidance=-1.0)
