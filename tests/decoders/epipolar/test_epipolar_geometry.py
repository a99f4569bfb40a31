"""Segments lie on epipolar lines, meet the surface where the depth is exact, and keep to the pixel convention."""

import pytest
import torch
from kornia.geometry.epipolar import fundamental_from_projections
from rigs import ball_depth, doubled, meets_ball, orthographic, uneven_ring

from epimesh.cameras import Cameras
from epimesh.decoders.epipolar.geometry import epipolar_segments, pluecker_rays, ray_offsets, ring_sources
from epimesh.errors import StageMismatch

MIDDLE = torch.full((7,), 0.5, dtype=torch.float64)
KINDS = pytest.mark.parametrize("kind", [lambda cameras: cameras, orthographic], ids=["pinhole", "orthographic"])


def projections(cameras: Cameras) -> torch.Tensor:
    """3 x 4 matrices from homogeneous world points to homogeneous pixels."""
    if not cameras.orthographic:
        return cameras.intrinsics @ cameras.world_to_camera[:, :3]
    flat = cameras.world_to_camera[:, :3].clone()
    flat[:, 2] = flat.new_tensor([0, 0, 0, 1])
    return cameras.intrinsics @ flat


@KINDS
@pytest.mark.parametrize("views", [2, 6, 9])
def test_every_point_lies_on_the_epipolar_line_of_its_pixel(kind, views: int) -> None:
    cameras = kind(uneven_ring(views))
    sources = ring_sources(views, views - 1)
    depth = 1.0 + torch.rand(views, 32, 32, dtype=torch.float64)
    segments = epipolar_segments(cameras, depth, sources=sources, offsets=ray_offsets(MIDDLE, 0.3))
    centres = torch.arange(32, dtype=torch.float64) + 0.5
    pixels = torch.stack([*torch.meshgrid(centres, centres, indexing="xy"), torch.ones(32, 32).double()], dim=-1)
    matrix = projections(cameras)
    assert segments.visible.float().mean() > 0.5
    for view in range(views):
        for slot, source in enumerate(sources[view].tolist()):
            fundamental = fundamental_from_projections(matrix[view : view + 1], matrix[source : source + 1])[0]
            line = pixels @ fundamental.T
            line = line / line[..., :2].norm(dim=-1, keepdim=True)
            points = segments.positions[view, ..., slot, :]
            off = (points * line[..., None, :2]).sum(-1) + line[..., None, 2]
            assert off[segments.visible[view, ..., slot]].abs().max() < 1e-4  # pixels


@KINDS
def test_with_exact_depth_the_middle_point_is_the_true_correspondence(kind) -> None:
    cameras = kind(uneven_ring())
    depth = ball_depth(cameras)
    segments = epipolar_segments(cameras, depth, sources=ring_sources(6, 5), offsets=ray_offsets(MIDDLE, 0.1))
    surface = cameras.unproject(torch.where(depth.isfinite(), depth, 0.0))
    for view in range(6):
        for slot in (0, 4):  # the neighbours at 60 degrees; the others share less of the ball with the view
            source = int(segments.sources[view, slot])
            # What the source sees at the found position: a ray made from the pixel alone, cast at the ball.
            camera = cameras[source]
            found = segments.positions[view, :, :, 3, slot]
            focal, centre = camera.intrinsics[0, [0, 1], [0, 1]], camera.intrinsics[0, :2, 2]
            plane = torch.cat([(found - centre) / focal, torch.zeros_like(found[..., :1])], dim=-1)
            toward = torch.tensor([0.0, 0.0, 1.0]).double().expand_as(plane)
            if not camera.orthographic:
                plane, toward = torch.zeros_like(plane), torch.nn.functional.normalize(plane + toward, dim=-1)
            to_world = camera.camera_to_world[0]
            origins, directions = plane @ to_world[:3, :3].T + to_world[:3, 3], toward @ to_world[:3, :3].T
            seen = origins + meets_ball(origins, directions)[..., None] * directions
            faces_source = (surface[view] * -directions).sum(-1) > 0.05  # the ball's normal is its point
            both = faces_source & segments.visible[view, :, :, 3, slot]
            pixel_of_seen = camera.project(seen)[0][..., 0, :]
            assert (pixel_of_seen - found)[both].abs().max() < 1e-3
            assert (seen - surface[view])[both].norm(dim=-1).max() < 1e-5
            assert both.sum() > 50


@KINDS
def test_a_camera_that_stands_where_the_reference_stands_sees_every_point_in_the_same_pixel(kind) -> None:
    ring = uneven_ring()
    cameras = kind(Cameras.joined([ring[1], ring[1]]))
    depth = 1.0 + torch.rand(2, 16, 16, dtype=torch.float64)
    segments = epipolar_segments(cameras, depth, sources=ring_sources(2, 1), offsets=ray_offsets(MIDDLE, 0.4))
    centres = torch.arange(16, dtype=torch.float64) + 0.5
    own = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)[:, :, None, None]
    torch.testing.assert_close(segments.positions, own.expand_as(segments.positions[0])[None].repeat(2, 1, 1, 1, 1, 1))
    assert segments.visible.all()


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_points_are_where_plain_projection_puts_them(precision: torch.dtype) -> None:
    cameras = uneven_ring()
    cameras = (
        cameras if precision == torch.float64 else Cameras.on_sphere(torch.arange(6.0) * 60, torch.zeros(6), size=32)
    )
    depth = (1.0 + torch.rand(6, 32, 32)).to(precision)
    offsets = ray_offsets(torch.rand(6, 32, 32, 3).to(precision), 0.2)
    segments = epipolar_segments(cameras, depth, sources=ring_sources(6, 2), offsets=offsets)
    for view, row, column, sample in [(0, 0, 0, 0), (2, 31, 5, 1), (5, 17, 30, 2)]:
        # One point by hand: along the ray of the pixel, in homogeneous coordinates.
        inverse = torch.linalg.inv(cameras.intrinsics[view]).double()
        ray = inverse @ torch.tensor([column + 0.5, row + 0.5, 1.0]).double()
        point = ray * depth[view, row, column] + ray / ray.norm() * offsets[view, row, column, sample]
        world = cameras.camera_to_world[view].double() @ torch.cat([point, torch.ones(1).double()])
        for slot, source in enumerate(segments.sources[view].tolist()):
            seen = cameras.intrinsics[source].double() @ (cameras.world_to_camera[source].double() @ world)[:3]
            expected = (seen[:2] / seen[2]).to(precision)
            torch.testing.assert_close(
                segments.positions[view, row, column, sample, slot], expected, atol=1e-4, rtol=1e-5
            )


def test_a_smaller_map_has_the_same_segments_in_its_own_pixels() -> None:
    cameras = uneven_ring(size=256)
    offsets = ray_offsets(MIDDLE, 0.1)
    small = epipolar_segments(
        cameras, torch.full((6, 32, 32), 1.3).double(), sources=ring_sources(6, 5), offsets=offsets
    )
    # A camera of 8 x 8 times the pixels has the small one's pixel centres between four of its own.
    large = epipolar_segments(
        cameras, torch.full((6, 256, 256), 1.3).double(), sources=ring_sources(6, 5), offsets=0 * offsets
    )
    around = large.positions[:, :, :, 0].reshape(6, 32, 8, 32, 8, 5, 2)[:, :, 3:5, :, 3:5].mean((2, 4)) / 8
    assert (small.positions[:, :, :, 3] - around).abs().max() < 2e-3  # a perspective mean of four, not exact
    halved = epipolar_segments(
        cameras.resized(32, 32), torch.full((6, 32, 32), 1.3).double(), sources=ring_sources(6, 5), offsets=offsets
    )
    torch.testing.assert_close(halved.positions, small.positions)


def test_points_behind_a_camera_or_beside_its_image_or_of_unknown_depth_are_not_visible() -> None:
    ring = uneven_ring()
    close = ring.world_to_camera.clone()
    close[3, 2, 3] = 0.2  # stands inside the scene, so that much of it is behind
    cameras = Cameras(close, ring.intrinsics, 32, 32)
    depth = ball_depth(ring)
    depth[0, 0, :3] = torch.tensor([torch.nan, -1.0, 0.0])
    segments = epipolar_segments(cameras, depth, sources=ring_sources(6, 5), offsets=ray_offsets(MIDDLE, 0.05))
    assert segments.positions.isfinite().all()
    assert not segments.visible[~(depth > 0) | depth.isinf()].any()
    _, z = cameras[3].project(cameras[2:3].unproject(depth[2:3].nan_to_num(posinf=1.0))[0])
    behind = (z[..., 0] < -0.05) & depth[2].isfinite()
    assert behind.sum() > 20
    assert not segments.visible[2, ..., 0][behind].any()  # slot 0 of view 2 is view 3
    inside = ((segments.positions >= 0) & (segments.positions <= 32)).all(-1)
    assert not segments.visible[~inside].any()
    assert (segments.visible.any((3, 4)) == (depth.isfinite() & (depth > 0)))[0].float().mean() > 0.9


def test_segments_do_not_notice_a_rotation_of_the_whole_world_but_rays_do() -> None:
    cameras = uneven_ring()
    turn = torch.linalg.qr(torch.randn(3, 3).double()).Q
    turn = turn * torch.det(turn).sign()
    matrices = cameras.world_to_camera.clone()
    matrices[:, :3, :3] = matrices[:, :3, :3] @ turn
    rotated = Cameras(matrices, cameras.intrinsics, 32, 32)
    depth, offsets = ball_depth(cameras), ray_offsets(MIDDLE, 0.1)
    before, after = (
        epipolar_segments(rig, depth, sources=ring_sources(6, 5), offsets=offsets) for rig in (cameras, rotated)
    )
    torch.testing.assert_close(after.positions, before.positions)
    assert torch.equal(after.visible, before.visible)
    assert (after.rays - before.rays).abs().max() > 0.1


def test_offsets_are_sorted_one_per_stratum_and_the_middle_is_the_default_of_an_odd_number() -> None:
    for samples in (1, 2, 7):
        offsets = ray_offsets(torch.rand(1000, samples), 0.1)
        edges = torch.linspace(-0.1, 0.1, samples + 1)
        assert (offsets >= edges[:-1] - 1e-7).all()
        assert (offsets <= edges[1:] + 1e-7).all()
        assert (offsets.diff(dim=-1) >= 0).all()
    assert torch.equal(ray_offsets(torch.tensor([0.5]), 0.1), torch.zeros(1))
    torch.testing.assert_close(ray_offsets(torch.full((2,), 0.5), 0.1), torch.tensor([-0.05, 0.05]))
    assert float(ray_offsets(torch.full((7,), 0.5), 0.1)[3].abs()) < 1e-8
    assert not ray_offsets(torch.rand(5), 0.0).any()
    with pytest.raises(ValueError, match=r"margin of at least 0 and at least one sample are needed, got -1.0 and 2"):
        ray_offsets(torch.rand(2), -1.0)


def test_a_slot_always_means_the_same_neighbour() -> None:
    assert ring_sources(6, 5)[0].tolist() == [1, 2, 3, 4, 5]
    assert ring_sources(6, 5)[4].tolist() == [5, 0, 1, 2, 3]
    assert ring_sources(16, 5)[0].tolist() == [1, 2, 3, 14, 15]
    assert ring_sources(16, 4)[15].tolist() == [0, 1, 13, 14]
    with pytest.raises(StageMismatch, match="Found 3 views, but every view looks at 3 others"):
        ring_sources(3, 3)


@KINDS
def test_every_point_of_a_ray_has_the_moment_of_its_pluecker_coordinates(kind) -> None:
    cameras = kind(uneven_ring())
    direction, moment = pluecker_rays(cameras).permute(0, 2, 3, 1).split(3, dim=-1)
    for depth in (0.3, 1.5):
        points = cameras.unproject(torch.full((6, 32, 32), depth).double())
        torch.testing.assert_close(torch.linalg.cross(points, direction), moment)
    torch.testing.assert_close(direction.norm(dim=-1), torch.ones(6, 32, 32).double())


def test_a_map_that_is_only_a_source_may_follow_the_reference_views() -> None:
    cameras = Cameras.joined([uneven_ring(), doubled(Cameras.ring(1, size=32))])
    sources = torch.cat([ring_sources(6, 5), torch.full((6, 1), 6)], dim=1)
    offsets = ray_offsets(MIDDLE, 0.1)
    segments = epipolar_segments(cameras, ball_depth(cameras)[:6], sources=sources, offsets=offsets)
    assert segments.positions.shape == (6, 32, 32, 7, 6, 2)
    assert segments.rays.shape == (7, 6, 32, 32)
    points = cameras[2].unproject(ball_depth(cameras)[2:3].nan_to_num(posinf=1.0))
    expected = cameras[6].project(points[0])[0][..., 0, :]
    torch.testing.assert_close(segments.positions[2, :, :, 3, 5], expected)
