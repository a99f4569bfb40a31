"""Every alignment undoes the motion it names, and no more."""

from dataclasses import replace

import pytest
import torch
import trimesh
from known_shapes import ball, box, from_trimesh

from epimesh.errors import BadInput
from epimesh.evaluation.metrics.alignment import align
from epimesh.evaluation.metrics.shapes import ShapeProtocol, compare_shapes
from epimesh.mesh import Mesh

QUICK = ShapeProtocol(samples=3000, resolutions=(32,))


def bracket() -> Mesh:
    """A shape without symmetry."""
    parts = [
        trimesh.creation.box([1.0, 0.2, 0.2]),
        trimesh.creation.box([0.2, 0.5, 0.2]).apply_translation([0.4, 0.2, 0]),
        trimesh.creation.box([0.2, 0.2, 0.4]).apply_translation([-0.3, 0, 0.2]),
    ]
    return from_trimesh(trimesh.boolean.union(parts))


def moved(mesh: Mesh, angle_deg: float, shift: tuple[float, float, float] = (0, 0, 0), scale: float = 1.0) -> Mesh:
    turn = torch.from_numpy(trimesh.transformations.rotation_matrix(angle_deg / 57.29578, [0, 0, 1])[:3, :3]).float()
    return replace(mesh, vertices=scale * mesh.vertices @ turn.T + torch.tensor(shift))


def test_without_alignment_nothing_moves() -> None:
    shape = moved(bracket(), 20, (0.1, 0, 0))
    aligned = align(shape, bracket(), "none")
    assert aligned.mesh is shape
    assert torch.equal(aligned.matrix, torch.eye(4))


def test_scale_undoes_size_and_place() -> None:
    aligned = align(moved(bracket(), 0, (0.3, -0.2, 0.1), scale=0.4), bracket(), "scale")
    torch.testing.assert_close(aligned.mesh.vertices, bracket().vertices, atol=1e-5, rtol=0)


def test_icp_undoes_a_small_turn() -> None:
    aligned = align(moved(bracket(), 5), bracket(), "icp")
    # Closest points cannot change size, and the turned box is a little larger: only the turn is undone exactly.
    direction = aligned.matrix[:2, :2] / aligned.matrix[:2, :2].det().sqrt()
    assert float(torch.rad2deg(torch.atan2(direction[1, 0], direction[0, 0]))) == pytest.approx(-5, abs=1)


def test_only_yaw_finds_a_large_turn() -> None:
    turned = moved(bracket(), 150)
    chamfer = {
        mode: compare_shapes(turned, bracket(), protocol=replace(QUICK, alignment=mode)).chamfer_surface
        for mode in ("none", "icp", "yaw")
    }
    assert chamfer["yaw"] < 0.02 < chamfer["icp"]
    assert chamfer["yaw"] < chamfer["none"]


def test_the_alignment_is_stamped_into_the_report_and_changes_the_numbers() -> None:
    far = moved(ball(0.3), 0, (0.2, 0, 0))
    plain, scaled = (compare_shapes(far, ball(0.5), protocol=replace(QUICK, alignment=m)) for m in ("none", "scale"))
    assert (plain.protocol.alignment, scaled.protocol.alignment) == ("none", "scale")
    assert scaled.chamfer_surface < 0.01 < plain.chamfer_surface
    assert scaled.alignment_matrix[0][3] == pytest.approx(-0.2 * 5 / 3, abs=1e-3)


def test_an_unknown_alignment_is_refused_with_the_list() -> None:
    with pytest.raises(BadInput, match="none, scale, icp, yaw"):
        align(box(1, 1, 1), ball(0.5), "procrustes")
