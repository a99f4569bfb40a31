"""Trivial baselines as pictures: what they are, no more and no less."""

import pytest
import torch
from known_shapes import ball, box

from epimesh.cameras import FOV_DEG, Cameras
from epimesh.errors import StageFailed
from epimesh.evaluation.baselines.photo_only import (
    copied_photo,
    inflated_silhouette,
    silhouette_hull,
    within_silhouette,
)
from epimesh.evaluation.ground_truth.truth_object import photo_of
from epimesh.evaluation.metrics.images import silhouette_iou
from epimesh.evaluation.metrics.occupancy import occupancy, volume_iou
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.rendering.ray_casting import render_mesh

RING = Cameras.ring(size=96)


def photographed(mesh: Mesh, elevation_deg: float = 0.0) -> Photo:
    camera = Cameras.on_sphere(torch.zeros(1), torch.tensor([elevation_deg]), size=96)
    return photo_of(render_mesh(mesh, camera, threads=1), elevation_deg)


def test_the_copied_photo_is_the_photo_in_every_view() -> None:
    photo = photographed(box(0.4, 0.7, 0.5))
    views = copied_photo(photo, RING)
    assert len(views) == 16
    assert all(torch.equal(image, photo.on_white()) for image in views.rgb)
    assert all(torch.equal(alpha, photo.rgba[3:]) for alpha in views.alpha)


def test_an_inflated_silhouette_fills_the_silhouette_and_is_as_deep_as_it_is_narrow() -> None:
    photo = photographed(box(0.9, 0.8, 0.3))  # x is the depth that the photo does not show
    mesh = inflated_silhouette(photo)
    seen = render_mesh(mesh, photo.camera, threads=1)
    assert silhouette_iou(seen.alpha[0, 0], photo.rgba[3]) > 0.9
    deep, wide, high = (mesh.vertices.amax(0) - mesh.vertices.amin(0)).tolist()
    # The front of the box is nearer than its middle and looks larger, by distance 1.5 to 1.05.
    assert wide == pytest.approx(0.8 * 1.5 / 1.05, abs=0.05)
    assert high == pytest.approx(0.3 * 1.5 / 1.05, abs=0.05)
    assert deep == pytest.approx(high, abs=0.06)


def test_an_inflated_silhouette_stands_where_a_high_camera_looks() -> None:
    photo = photographed(ball(0.4), elevation_deg=40.0)
    mesh = inflated_silhouette(photo)
    # Not exactly at the origin: behind it one pixel is wider, and so the shape is deeper.
    assert float(((mesh.vertices.amax(0) + mesh.vertices.amin(0)) / 2).abs().max()) < 0.1
    seen = render_mesh(mesh, photo.camera, threads=1)
    assert silhouette_iou(seen.alpha[0, 0], photo.rgba[3]) > 0.93


def test_the_hull_holds_the_object_and_shows_its_silhouettes() -> None:
    truth = box(0.5, 0.8, 0.6)
    hull = silhouette_hull(render_mesh(truth, RING, threads=1))
    seen, true = (render_mesh(mesh, RING, threads=1).alpha[:, 0] for mesh in (hull, truth))
    assert min(silhouette_iou(one, two) for one, two in zip(seen, true, strict=True)) > 0.95
    inside, filled = occupancy(hull, 48).inside, occupancy(truth, 48).inside
    assert float((inside & filled).sum() / filled.sum()) > 0.95
    assert volume_iou(occupancy(hull, 48), occupancy(truth, 48)) > 0.7


def test_points_within_a_silhouette_are_positive_and_as_far_as_the_outline() -> None:
    photo = photographed(ball(0.4))
    points = torch.tensor([[0.0, 0, 0], [0.0, 0.3, 0], [0.0, 0, 0.6], [0.3, 0, 0]]).reshape(4, 1, 1, 3)
    found = within_silhouette(points, photo.rgba[3], photo.camera).flatten().tolist()
    # A ball of radius 0.4 at distance 1.5 covers a disc of radius 0.4 / sqrt(1 - (0.4 / 1.5)^2) = 0.415.
    assert found == pytest.approx([0.415, 0.115, -0.185, 0.415 * 1.2 / 1.5], abs=0.02)


def test_a_photo_of_nothing_has_no_inflated_silhouette() -> None:
    with pytest.raises(StageFailed, match="nowhere positive"):
        inflated_silhouette(Photo(torch.zeros(4, 32, 32), 0.0, FOV_DEG))
