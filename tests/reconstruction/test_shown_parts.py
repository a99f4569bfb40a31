"""Thin parts that the photo shows are kept where imagined views are soft, and nothing else changes."""

from dataclasses import replace

import pytest
import torch
import trimesh

from epimesh.cameras import Cameras
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.reconstruction import NeuS
from epimesh.reconstruction.shown_parts import with_shown_parts
from epimesh.reconstruction.silhouettes import Shot, shots
from epimesh.reconstruction.visual_hull import object_radius, visual_hull
from epimesh.rendering import render_mesh
from epimesh.runtime import Runtime, Silent
from epimesh.views import Views

# Every other camera looks from above, every other from below, so that everything is seen.
AROUND = Cameras.on_sphere(torch.arange(12) * 30.0, torch.tensor([20.0, -20.0] * 6), size=64)
BEHIND, BEFORE = torch.tensor([[0.0, -0.35, 0.0]]), torch.tensor([[0.0, 0.35, 0.0]])


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


def hull_reaches(seen: list[Shot]) -> float:
    """How far the hull of the views reaches along the rod."""
    views = [shot for shot in seen if not shot.is_photo]
    radius = object_radius(seen, 1.0)
    hull = visual_hull(views, radius, 96, 1.0).field
    inside = torch.nonzero(torch.from_numpy(hull) < 0)
    return float((inside.float() * 2 * radius / 95 - radius).abs().amax())


def test_sharp_silhouettes_and_views_without_a_photo_stay_the_same_images(skewered: Mesh, cpu: Runtime) -> None:
    sharp = shots(unsure_of_the_rod(skewered, 1.0), photo_of(skewered), cpu)
    assert with_shown_parts(sharp, 0.15, cpu) is sharp
    soft = shots(unsure_of_the_rod(skewered, 0.4), None, cpu)
    assert with_shown_parts(soft, 0.15, cpu) is soft


def test_a_rod_that_views_are_unsure_of_is_kept_if_the_photo_shows_it(skewered: Mesh) -> None:
    silent = Silent()
    runtime = Runtime("cpu", reporter=silent)
    seen = shots(unsure_of_the_rod(skewered, 0.45), photo_of(skewered), runtime)
    kept = with_shown_parts(seen, 0.15, runtime)
    assert hull_reaches(seen) < 0.2
    assert hull_reaches(kept) > 0.4
    assert kept[-1] is seen[-1]  # the photo
    assert silent.notes == ["The views lose thin parts that the photo shows, so coverage of 0.4 counts, not .5."]


def test_what_hardly_any_view_covers_stays_lost(skewered: Mesh, cpu: Runtime) -> None:
    seen = shots(unsure_of_the_rod(skewered, 0.1), photo_of(skewered), cpu)
    assert hull_reaches(with_shown_parts(seen, 0.15, cpu)) < 0.2


def test_neus_keeps_such_a_rod(skewered: Mesh, cpu: Runtime) -> None:
    surface = NeuS(resolution=96, iterations=200, rays=1024)(
        unsure_of_the_rod(skewered, 0.45), photo_of(skewered), runtime=cpu
    )
    assert float(surface.sdf(BEFORE)) < 0
    assert float(surface.sdf(BEHIND)) < 0
