"""Inside is inside: for closed meshes exactly, for open ones not at all."""

import numpy as np
import torch
import trimesh
from known_shapes import ball, box, from_trimesh

from epimesh.evaluation.metrics.mesh_health import health
from epimesh.evaluation.metrics.occupancy import cell_centres, occupancy
from epimesh.mesh import Mesh


def test_the_inside_of_a_box_is_every_cell_within_it() -> None:
    centres = cell_centres(40)
    found = occupancy(box(1.0, 0.6, 0.3), 40)
    x, y, z = np.meshgrid(np.abs(centres) < 0.5, np.abs(centres) < 0.3, np.abs(centres) < 0.15, indexing="ij")
    assert np.array_equal(found.inside.numpy(), x & y & z)
    assert found.unanimous == 1


def test_the_axes_are_x_y_z() -> None:
    shifted = from_trimesh(trimesh.creation.box([0.2, 0.4, 0.6]).apply_translation([0.3, -0.2, 0.1]))
    inside = occupancy(shifted, 64).inside.nonzero().double().mean(0)
    centre = (inside + 0.5) / 32 - 1
    torch.testing.assert_close(centre, torch.tensor([0.3, -0.2, 0.1]).double(), atol=0.02, rtol=0)


def test_the_inside_agrees_with_the_winding_number_of_every_cell() -> None:
    knot = trimesh.creation.torus(0.35, 0.12, major_sections=16, minor_sections=8).apply_transform(
        trimesh.transformations.rotation_matrix(0.7, [1, 2, 3])
    )
    found = occupancy(from_trimesh(knot), 20).inside.numpy()
    centres = cell_centres(20)
    points = np.stack(np.meshgrid(centres, centres, centres, indexing="ij"), -1).reshape(-1, 3)
    corners = knot.triangles[None] - points[:, None, None]
    length = np.linalg.norm(corners, axis=-1)
    a, b, c = np.moveaxis(corners, 2, 0)
    la, lb, lc = np.moveaxis(length, 2, 0)
    along = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    solid_angle = 2 * np.arctan2((a * np.cross(b, c)).sum(-1), along)
    winding = solid_angle.sum(-1) / (4 * np.pi)
    assert np.array_equal(found.reshape(-1), winding > 0.5)


def test_winding_does_not_matter() -> None:
    shape = ball(0.4)
    mixed = shape.faces.clone()
    mixed[::2] = mixed[::2].flip(1)
    assert torch.equal(occupancy(Mesh(shape.vertices, mixed)).inside, occupancy(shape).inside)


def test_a_hollow_is_outside() -> None:
    shell = from_trimesh(
        trimesh.util.concatenate([trimesh.creation.icosphere(3, 0.5), trimesh.creation.icosphere(3, 0.3)])
    )
    found = occupancy(shell, 32)
    assert not found.inside[16, 16, 16]
    assert found.inside[16, 16, 22]
    assert found.solid


def test_a_sheet_is_not_solid() -> None:
    corners = torch.tensor([[-0.5, -0.5, 0.1], [0.5, -0.5, 0.0], [0.5, 0.5, 0.1], [-0.5, 0.5, 0.0]])
    assert not occupancy(Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]))).solid


def test_a_texture_seam_is_not_a_hole() -> None:
    shape = box(1, 1, 1)
    torn = Mesh(shape.vertices[shape.faces].reshape(-1, 3), torch.arange(36).reshape(12, 3))
    assert health(torn).watertight
    assert health(torn).components == 1


def test_pieces_and_holes_are_counted() -> None:
    two = from_trimesh(
        trimesh.util.concatenate(
            [trimesh.creation.box([1, 1, 1]), trimesh.creation.box([1, 1, 1]).apply_translation([3, 0, 0])]
        )
    )
    assert health(two).components == 2
    assert health(two).watertight
    assert not health(Mesh(two.vertices, two.faces[1:])).watertight


def test_flipped_triangles_are_not_watertight() -> None:
    shape = box(1, 1, 1)
    faces = shape.faces.clone()
    faces[0] = faces[0].flip(0)
    assert not health(Mesh(shape.vertices, faces)).watertight
