"""The volume prior with its bundled weights, and the stages that rest on it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from epimesh.cameras import Cameras
from epimesh.decoders import RenderedPrior
from epimesh.errors import BadInput, StageFailed
from epimesh.evaluation.metrics.mesh_health import health
from epimesh.photo import Photo
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.reconstruction import MarchingCubes, PriorSurface
from epimesh.runtime import Runtime
from epimesh.stages import BakeTexture, CutOut, PriorViews, VolumePrior
from epimesh.surface import GridSurface

CPU = Runtime("cpu")
QUICK = VolumePrior(resolution=64, mirrored=False)


@pytest.fixture(scope="module")
def photo() -> Photo:
    """The example, cut out."""
    bird = Path(__file__).parents[3] / "examples" / "bird.jpg"
    return CutOut(size=256, elevation_deg=20.0)(bird, runtime=CPU)


@pytest.fixture(scope="module")
def surface(photo: Photo) -> GridSurface:
    """Of the example."""
    return QUICK(photo, runtime=CPU)


def test_the_surface_has_the_photos_silhouette_and_colours(photo: Photo, surface: GridSurface) -> None:
    small = photo.resized(96)
    seen = surface.render(small.camera)
    shown, true = seen.alpha[0, 0] > 0.5, small.rgba[3] > 0.5
    assert (shown & true).sum() / (shown | true).sum() > 0.9
    both = shown & true
    error = (seen.rgb[0, :, both] - small.rgba[:3, both]).abs().mean()
    assert error < 0.1  # .05; of another bird's colours .2


def test_stages_of_one_run_share_the_answer_and_another_photo_gets_its_own(photo: Photo, surface: GridSurface) -> None:
    assert VolumePrior(resolution=64, mirrored=False)(photo, runtime=CPU) is surface
    mirrored = replace(photo, rgba=photo.rgba.flip(-1).contiguous())
    other = QUICK(mirrored, runtime=CPU)
    assert other is not surface
    away = (other.distances.flip(1) - surface.distances).abs().mean()
    assert away < 0.2 * surface.distances.abs().mean()


def test_with_its_mirror_image_a_photo_and_the_mirrored_photo_have_mirrored_surfaces(photo: Photo) -> None:
    prior = replace(QUICK, mirrored=True)
    one = prior(photo, runtime=CPU)
    other = prior(replace(photo, rgba=photo.rgba.flip(-1).contiguous()), runtime=CPU)
    apart = (one.distances < 0) != (other.distances.flip(1) < 0)  # what fills thin parts rounds to pixels
    assert apart.sum() < 0.02 * (one.distances < 0).sum()


def test_views_are_drawn_from_the_surface_and_drawn_again_at_any_size(photo: Photo, surface: GridSurface) -> None:
    latents = PriorViews(prior=QUICK)(photo, runtime=CPU)
    assert latents.latents.shape == (16, 12, 16, 16)
    views = RenderedPrior(prior=QUICK, size=64)(latents, runtime=CPU)
    expected = surface.render(Cameras.ring(16, size=64))
    torch.testing.assert_close(views.rgb, expected.rgb)
    assert views.normals is not None
    assert views.depth is not None


def test_the_mesh_is_closed_and_its_back_has_the_surfaces_colours(photo: Photo, surface: GridSurface) -> None:
    mesh = MarchingCubes(resolution=64, faces=3000, colors=True)(surface, runtime=CPU)
    views = surface.render(Cameras.ring(2, size=32))
    textured = BakeTexture(size=256, use_views=False)(mesh, views, photo, runtime=CPU)
    assert textured.texture is not None
    assert mesh.vertex_rgb is not None
    behind = mesh.vertices[:, 0] < mesh.vertices[:, 0].quantile(0.2)
    palette = mesh.vertex_rgb[behind].mean(0)
    assert (palette - photo.rgba[:3, photo.rgba[3] > 0.5].mean(1)).abs().max() < 0.3
    assert health(mesh).watertight


def test_views_alone_are_refused(surface: GridSurface) -> None:
    views = surface.render(Cameras.ring(2, size=32))
    with pytest.raises(BadInput, match="--reconstruct NeuS"):
        PriorSurface(prior=QUICK)(views, None, runtime=CPU)


def test_a_threshold_that_nothing_reaches_ends_in_a_sentence_and_no_empty_mesh(photo: Photo) -> None:
    empty = replace(photo, rgba=torch.cat([photo.rgba[:3], torch.zeros_like(photo.rgba[3:])]))
    with pytest.raises(StageFailed, match=r"empty.*\n.*cutout.png"):
        replace(QUICK, threshold=0.999)(empty, runtime=CPU)


@pytest.mark.parametrize("settings", [{"resolution": 10}, {"threshold": 1.0}, {"smoothing": -1.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(settings))):
        VolumePrior(**settings)  # type: ignore[arg-type]


def test_the_default_preset_rests_on_it() -> None:
    pipeline = ImageTo3D.from_preset("volume")
    assert pipeline.reconstruct == PriorSurface(prior=VolumePrior())
    assert isinstance(pipeline.views, PriorViews)
