"""Cameras: z up, x right in the image, centres of pixels at halves, and back and forth without loss."""

from math import radians

import pytest
import torch

from epimesh.cameras import DISTANCE, Cameras


def on_sphere(azimuth: float, elevation: float, size: int = 64) -> Cameras:
    return Cameras.on_sphere(torch.tensor([azimuth]), torch.tensor([elevation]), size=size)


def test_the_first_camera_of_the_ring_stands_on_x_and_the_ring_turns_counter_clockwise() -> None:
    ring = Cameras.ring(size=64)
    assert len(ring) == 16
    azimuth, elevation = ring.azimuth_elevation_deg()
    torch.testing.assert_close(azimuth, torch.arange(16) * 22.5, atol=1e-3, rtol=0)
    torch.testing.assert_close(elevation, torch.full((16,), 30.0), atol=1e-3, rtol=0)
    assert ring.centres[0, 0] > 1
    assert abs(float(ring.centres[0, 1])) < 1e-6
    assert ring.centres[1, 1] > 0


def test_the_origin_is_in_the_middle_of_every_image_at_the_standard_distance() -> None:
    pixel, depth = Cameras.ring(size=64).project(torch.zeros(3))
    torch.testing.assert_close(pixel, torch.full_like(pixel, 32.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(depth, torch.full_like(depth, DISTANCE), atol=1e-5, rtol=0)


def test_left_of_the_object_is_on_the_right_of_its_front_view_and_up_is_up() -> None:
    pixel, _ = on_sphere(0.0, 0.0).project(torch.tensor([0.0, 0.2, 0.1]))
    assert pixel[0, 0] > 32
    assert pixel[0, 1] < 32


@pytest.mark.parametrize("elevation", [-60.0, 0.0, 45.0])
def test_a_point_projected_and_carried_back_by_its_depth_is_where_it_was(elevation: float) -> None:
    camera = on_sphere(70.0, elevation)
    depth = torch.full((1, 64, 64), DISTANCE) + 0.1 * torch.rand(1, 64, 64)
    points = camera.unproject(depth)
    pixel, found = camera.project(points[0])
    torch.testing.assert_close(found[..., 0], depth[0], atol=1e-5, rtol=0)
    columns = torch.arange(64) + 0.5
    torch.testing.assert_close(pixel[..., 0, 0], columns.expand(64, 64), atol=1e-3, rtol=0)
    torch.testing.assert_close(pixel[..., 0, 1], columns[:, None].expand(64, 64), atol=1e-3, rtol=0)


def test_rays_are_of_unit_length_start_at_the_camera_and_meet_what_their_pixel_shows() -> None:
    camera = on_sphere(200.0, 20.0)
    origins, directions = camera.rays()
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(1, 64, 64), atol=1e-5, rtol=0)
    torch.testing.assert_close(origins[0, 5, 9], camera.centres[0], atol=1e-5, rtol=0)
    pixel, _ = camera.project(origins[0, 5, 9] + 1.4 * directions[0, 5, 9])
    torch.testing.assert_close(pixel[0], torch.tensor([9.5, 5.5]), atol=1e-3, rtol=0)


def test_another_resolution_scales_pixels_and_nothing_else() -> None:
    point, camera = torch.tensor([0.1, -0.2, 0.3]), on_sphere(10.0, 5.0)
    pixel, depth = camera.project(point)
    small, same = camera.resized(16, 16).project(point)
    torch.testing.assert_close(small, pixel / 4)
    assert torch.equal(same, depth)


def test_the_pose_that_zero123_is_told_counts_polar_angles_downwards() -> None:
    delta = on_sphere(0.0, 10.0).view_delta(on_sphere(90.0, 30.0))
    torch.testing.assert_close(delta, torch.tensor([[-radians(20), 1.0, 0.0, 0.0]]), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="one camera"):
        Cameras.ring(4, size=8).view_delta(on_sphere(0.0, 0.0))


def test_chosen_and_joined_cameras_are_cameras_again() -> None:
    ring = Cameras.ring(size=64)
    assert torch.equal(Cameras.joined([ring[2], ring[[5, 7]]]).centres, ring.centres[[2, 5, 7]])
