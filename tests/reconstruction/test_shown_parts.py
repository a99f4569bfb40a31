"""Thin parts that the photo shows are kept where imagined views are soft, and nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from epimesh.cameras import Cameras
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.reconstruction import NeuS, VisualHull
from epimesh.reconstruction.silhouettes import SilhouetteView, silhouette_views
from epimesh.reconstruction.thin_part_recovery import SHOWN, recovered, share_shown, with_more_coverage
from epimesh.reconstruction.visual_hull import object_radius, visual_hull
from epimesh.rendering.ray_casting import render_mesh
from epimesh.runtime import Runtime, Silent
from epimesh.surface import GridSurface
from epimesh.views import Views

# Every other camera looks from above, every other from below, so that everything is seen.
AROUND = Cameras.on_sphere(torch.arange(12) * 30.0, torch.tensor([20.0, -20.0] * 6), size=64)
ROD = torch.tensor([[0.0, y, 0.0] for y in (-0.4, -0.3, -0.2, 0.2, 0.3, 0.4)])


def grey(shape: trimesh.Trimesh) -> Mesh:
    vertices = torch.tensor(shape.vertices).float()
    return Mesh(vertices, torch.tensor(shape.faces).long(), vertex_rgb=torch.full_like(vertices, 0.4))


def ball() -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions=3, radius=0.12)


@pytest.fixture(scope="module")
def skewered() -> Mesh:
    """A small ball on a long rod along y."""
    return grey(trimesh.util.concatenate([ball(), trimesh.creation.box((0.05, 0.9, 0.05))]))


def photo_of(mesh: Mesh) -> Photo:
    """From azimuth 0, sharp, seen across the rod."""
    photo = Photo(torch.zeros(4, 64, 64), 0.0, 49.1)
    seen = render_mesh(mesh, photo.camera, threads=1)
    return replace(photo, rgba=torch.cat([seen.rgb[0], seen.alpha[0]]))


def unsure_of_the_rod(mesh: Mesh, coverage: float) -> Views:
    """Views that cover the rod only so much."""
    views = render_mesh(mesh, AROUND, threads=1)
    soft = torch.maximum(render_mesh(grey(ball()), AROUND, threads=1).alpha, views.alpha * coverage)
    return Views(rgb=1 - soft * (1 - views.rgb), alpha=soft, cameras=views.cameras)


def hull_of(seen: list[SilhouetteView]) -> tuple[np.ndarray, float]:
    views = [shot for shot in seen if not shot.is_photo]
    radius = object_radius(seen, 1.0)
    return visual_hull(views, radius, 96, 1.0).field, radius


def reach_of(hull: np.ndarray, radius: float) -> float:
    """How far a hull reaches along the rod."""
    inside = np.argwhere(hull < 0)
    return float(np.abs(inside * 2 * radius / 95 - radius).max())


def test_a_hull_that_lacks_the_rod_shows_less_of_the_photo_and_without_a_photo_nothing_is_missing(
    skewered: Mesh, cpu: Runtime
) -> None:
    whole = silhouette_views(unsure_of_the_rod(skewered, 1.0), photo_of(skewered), cpu)
    short = silhouette_views(unsure_of_the_rod(skewered, 0.45), photo_of(skewered), cpu)
    assert share_shown(*hull_of(whole), whole) > SHOWN
    assert share_shown(*hull_of(short), short) < 0.7
    assert share_shown(*hull_of(short), short[:-1]) == 1


def test_more_coverage_brings_the_rod_back_and_leaves_photo_and_sharp_silhouettes_alone(
    skewered: Mesh, cpu: Runtime
) -> None:
    seen = silhouette_views(unsure_of_the_rod(skewered, 0.45), photo_of(skewered), cpu)
    more, counted, shown = with_more_coverage(seen, 0.15)
    assert counted == 0.4
    assert shown > SHOWN
    assert reach_of(*hull_of(seen)) < 0.2
    assert reach_of(*hull_of(more)) > 0.4
    assert more[-1] is seen[-1]
    for before, after in zip(seen, more, strict=True):
        sharp = (before.alpha == 0) | (before.alpha == 1)
        assert np.array_equal(after.alpha[sharp], before.alpha[sharp])
        assert (after.alpha >= before.alpha).all()


def test_what_hardly_any_view_covers_stays_lost(skewered: Mesh, cpu: Runtime) -> None:
    seen = silhouette_views(unsure_of_the_rod(skewered, 0.1), photo_of(skewered), cpu)
    more, counted, shown = with_more_coverage(seen, 0.15)
    assert counted == 0.3
    assert shown < 0.7
    assert reach_of(*hull_of(more)) < 0.2


@pytest.mark.parametrize(
    "stage",
    [NeuS(resolution=96, iterations=200, rays=1024), VisualHull(resolution=96, smoothing=0.0)],
    ids=["neus", "hull"],
)
def test_a_rod_that_views_are_unsure_of_is_kept_if_the_photo_shows_it_and_that_is_said(
    stage: NeuS | VisualHull, skewered: Mesh
) -> None:
    silent = Silent()
    surface = stage(unsure_of_the_rod(skewered, 0.45), photo_of(skewered), runtime=Runtime("cpu", reporter=silent))
    assert (surface.sdf(ROD) < 0).all()
    assert len(silent.notes) == 1
    assert "of what the photo shows: coverage of 0.4 counts as object now" in silent.notes[0]


def test_nothing_is_made_again_where_more_coverage_cannot_help(skewered: Mesh, cpu: Runtime) -> None:
    """The views are sure that there is no rod."""
    seen = silhouette_views(unsure_of_the_rod(skewered, 0.0), photo_of(skewered), cpu)
    hull = VisualHull(resolution=64, smoothing=0.0)
    made = []

    def make(images: list[SilhouetteView]) -> GridSurface:
        made.append(hull._carved(images))
        return made[-1]

    assert recovered(make, seen, 0.15, cpu.reporter) is made[0]
    assert len(made) == 1


def test_neus_has_nothing_to_say_where_views_are_sure(skewered: Mesh) -> None:
    silent = Silent()
    neus = NeuS(resolution=64, iterations=60, rays=1024)
    surface = neus(unsure_of_the_rod(skewered, 1.0), photo_of(skewered), runtime=Runtime("cpu", reporter=silent))
    assert (surface.sdf(ROD) < 0).all()
    assert not silent.notes
