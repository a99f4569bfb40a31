"""Photos beside points of objects: what lies inside, and where a photo's volume has it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from epimesh.cameras import Cameras
from epimesh.data.procedural.generate import generate
from epimesh.data.solids.carving import TOLERANCE, inside, surface_points, surroundings
from epimesh.data.solids.placement import Placement, framed_placement
from epimesh.data.solids.samples import GRID, GRID_SIDE, sampled
from epimesh.data.solids.shards import load_shard, save_shard
from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import UNLIT


def box(x: float, y: float, z: float) -> Mesh:
    """A closed box of these sides around the origin."""
    corners = torch.tensor([[i, j, k] for i in (-0.5, 0.5) for j in (-0.5, 0.5) for k in (-0.5, 0.5)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = torch.tensor([[a, b, c] for a, b, c, _ in quads] + [[a, c, d] for a, _, c, d in quads])
    return Mesh(corners * torch.tensor([x, y, z]), faces)


def test_points_inside_a_box_are_told_from_those_outside() -> None:
    points = torch.rand(4000, 3, generator=torch.manual_seed(0)) - 0.5
    sides = torch.tensor([0.9, 0.6, 0.4])
    beyond = (points.abs() - sides / 2).amax(1)
    clear = (beyond < -0.006) | (beyond > 2 * TOLERANCE)  # a pixel of the depth views blurs edges
    found = inside(points, surroundings(box(0.9, 0.6, 0.4), UNLIT))
    assert torch.equal(found[clear], beyond[clear] < 0)


def test_a_sheet_without_thickness_becomes_a_thin_solid() -> None:
    sheet = Mesh(
        torch.tensor([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0.0]]), box(1, 1, 1).faces[:1]
    )
    sheet = replace(sheet, faces=torch.tensor([[0, 1, 2], [0, 2, 3]]))
    seen = surroundings(sheet, UNLIT)
    heights = torch.tensor([0.0, TOLERANCE / 2, -TOLERANCE / 2, 3 * TOLERANCE, -3 * TOLERANCE])
    points = torch.stack([torch.full((5,), 0.1), torch.full((5,), 0.2), heights], dim=1)
    assert inside(points, seen).tolist() == [True, True, True, False, False]


def test_surface_points_lie_on_the_surface() -> None:
    points, _ = surface_points(surroundings(box(0.9, 0.6, 0.4), UNLIT), 500, np.random.default_rng(0))
    beyond = (points.abs() - torch.tensor([0.9, 0.6, 0.4]) / 2).amax(1)
    assert beyond.abs().max() < 0.012  # half a pixel of the depth views on slanted sides


@pytest.mark.parametrize("distance", [1.5, 4.0])
def test_the_standard_camera_sees_a_point_of_the_volume_in_the_pixel_that_the_real_camera_saw_it_in(
    distance: float,
) -> None:
    placement = Placement(70.0, 25.0, scale=0.9, right=0.05, down=-0.1, distance=distance)
    points = torch.rand(200, 3, generator=torch.manual_seed(1)) - 0.5
    real, _ = placement.camera(64).project(points * placement.scale)
    for told in (25.0, 31.0):  # also where the elevation is wrong
        standard = Cameras.on_sphere(torch.zeros(1), torch.tensor([told]), size=64)
        pixels, _ = standard.project(placement.to_photo_frame(points, told))
        torch.testing.assert_close(pixels, real, atol=2e-3, rtol=0)


def test_points_find_their_way_back_from_the_volume_to_the_object() -> None:
    placement = Placement(70.0, 25.0, scale=0.9, right=0.05, down=-0.1, distance=2.5)
    points = torch.rand(200, 3, generator=torch.manual_seed(1)) - 0.5
    back = placement.from_photo_frame(placement.to_photo_frame(points, 31.0), 31.0)
    torch.testing.assert_close(back, points, atol=1e-5, rtol=0)


def test_without_shift_and_lens_the_volume_is_the_object_turned_towards_the_camera() -> None:
    points = torch.tensor([[0.3, 0.0, 0.0], [0.0, 0.3, 0.0], [0.0, 0.0, 0.3]])
    turned = Placement(90.0, 20.0).to_photo_frame(points, 20.0)
    expected = torch.tensor([[0.0, -0.3, 0.0], [0.3, 0.0, 0.0], [0.0, 0.0, 0.3]])
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=0)


def test_a_framed_object_is_centred_and_fills_the_frame() -> None:
    vertices = box(1, 0.5, 0.3).vertices + torch.tensor([0.1, 0, 0.05])
    for seed in range(5):
        placement = framed_placement(vertices, np.random.default_rng(seed))
        pixels, _ = placement.camera(100).project(vertices * placement.scale)
        low, high = pixels[:, 0].amin(0), pixels[:, 0].amax(0)
        assert ((low + high) / 2 - 50).abs().max() < 0.5
        assert 57 < (high - low).max() < 81


def test_samples_survive_a_shard_and_two_runs_give_the_same(tmp_path: "np.ndarray") -> None:
    mesh = generate(3, 1)
    first, second = (sampled(mesh, np.random.default_rng(7), size=32) for _ in range(2))
    save_shard([first, second], [0, 1], tmp_path / "0-00000.safetensors")  # type: ignore[operator]
    stored, group = load_shard(tmp_path / "0-00000.safetensors")  # type: ignore[operator]
    assert group.tolist() == [0, 1]
    for column, one in zip(stored, first, strict=True):
        assert torch.equal(column[0], one)
        assert torch.equal(column[1], one)


def test_the_solid_of_a_box_has_its_volume() -> None:
    sample = sampled(box(0.9, 0.6, 0.4), np.random.default_rng(0), size=16)
    share = np.unpackbits(sample.solid.numpy()).mean()
    assert share * GRID_SIDE**3 == pytest.approx(0.9 * 0.6 * 0.4, rel=0.05)
    assert len(sample.solid) * 8 == GRID**3
