"""Shapes against shapes whose likeness is known in closed form, and against published numbers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from known_shapes import ball, box, from_trimesh

from epimesh.errors import BadInput
from epimesh.evaluation.metrics.shapes import ShapeProtocol, compare_shapes
from epimesh.evaluation.metrics.surface_distance import point_chamfer, sample_surface
from epimesh.evaluation.metrics.visible import (
    points_of_depth,
    read_ring_depth,
    ring_cameras,
    visible_points,
    voxel_means,
)
from epimesh.mesh import Mesh

QUICK = ShapeProtocol(samples=5000, resolutions=(32,))


def test_a_mesh_against_itself_is_perfect() -> None:
    report = compare_shapes(ball(0.5), ball(0.5), protocol=QUICK)
    assert report.chamfer_visible == 0
    assert report.chamfer_surface < 1e-6
    assert [near.f_score for near in report.agreement] == [1, 1, 1]
    assert report.volume[0].iou == 1
    assert report.normal_consistency > 0.9999
    assert report.notes == ()


def test_the_volume_iou_of_concentric_balls_is_the_cube_of_the_ratio_of_radii() -> None:
    report = compare_shapes(ball(0.4), ball(0.5), protocol=replace(QUICK, resolutions=(64, 128)))
    assert report.volume[0].iou == pytest.approx((0.4 / 0.5) ** 3, abs=0.01)
    assert report.volume[1].iou == pytest.approx((0.4 / 0.5) ** 3, abs=0.004)


def test_the_chamfer_distance_of_concentric_balls_is_the_difference_of_radii() -> None:
    report = compare_shapes(ball(0.47), ball(0.5), protocol=QUICK)
    assert report.chamfer_surface == pytest.approx(0.03, abs=3e-4)
    assert report.chamfer_visible == pytest.approx(0.03, abs=6e-4)
    assert [near.f_score for near in report.agreement] == [0, 0, 1]


def test_a_prediction_that_is_half_of_the_truth_has_full_precision_and_half_recall() -> None:
    whole = box(1.0, 0.5, 0.5)
    cells = whole.vertices[whole.faces].mean(1)[:, 0]
    half = from_trimesh(trimesh.creation.box([0.5, 0.5, 0.5]).apply_translation([-0.25, 0, 0]))
    near = compare_shapes(half, whole, protocol=QUICK).agreement[0]
    assert len(cells) == 12
    # All but the cutting face (1 of 6 equal squares) lies on the truth; of the truth's 10 squares 5 are near.
    assert near.precision == pytest.approx(5 / 6, abs=0.02)
    assert near.recall == pytest.approx(5 / 10, abs=0.02)


def test_what_no_ring_camera_sees_does_not_count_as_visible() -> None:
    seen = visible_points(box(0.8, 0.8, 0.8))
    assert float(seen[:, 2].min()) > -0.41
    below = (seen[:, 2] < -0.39) & (seen[:, :2].abs().amax(1) < 0.35)
    assert not below.any()


def test_the_nearest_neighbour_distance_agrees_with_comparing_all_pairs() -> None:
    first, second = torch.rand(200, 3), torch.rand(300, 3)
    pairs = torch.cdist(first.double(), second.double())
    slow = (pairs.amin(0).mean() + pairs.amin(1).mean()) / 2
    assert point_chamfer(first, second) == pytest.approx(float(slow), rel=1e-6)


def test_surface_points_do_not_lean_towards_small_triangles() -> None:
    # One big square of two triangles beside one square of the same size cut into many.
    fine = trimesh.creation.box([1, 1, 1e-4]).subdivide().subdivide().apply_translation([1, 0, 0])
    both = from_trimesh(trimesh.util.concatenate([trimesh.creation.box([1, 1, 1e-4]), fine]))
    right = sample_surface(both, 4000).points[:, 0] > 0.5
    assert float(right.float().mean()) == pytest.approx(0.5, abs=0.01)


def test_the_same_seed_draws_the_same_points_and_another_seed_others() -> None:
    shape = ball(0.5)
    assert torch.equal(sample_surface(shape, 100, 3).points, sample_surface(shape, 100, 3).points)
    assert not torch.equal(sample_surface(shape, 100, 3).points, sample_surface(shape, 100, 4).points)


def test_a_report_repeats_bit_by_bit() -> None:
    first = compare_shapes(box(0.9, 0.4, 0.3), ball(0.4), protocol=QUICK)
    assert first == compare_shapes(box(0.9, 0.4, 0.3), ball(0.4), protocol=QUICK)


def test_the_order_of_vertices_and_faces_does_not_matter() -> None:
    shape, truth = box(0.9, 0.4, 0.3), ball(0.4)
    order = torch.randperm(len(shape.vertices))
    shuffled = Mesh(shape.vertices[order], torch.argsort(order)[shape.faces][torch.randperm(len(shape.faces))])
    first, second = (compare_shapes(mesh, truth, protocol=QUICK) for mesh in (shape, shuffled))
    assert second.chamfer_visible == pytest.approx(first.chamfer_visible, rel=1e-6)
    assert second.chamfer_surface == pytest.approx(first.chamfer_surface, rel=0.01)
    assert second.volume[0].iou == first.volume[0].iou


def test_voxel_means_are_those_of_a_plain_loop() -> None:
    points = torch.rand(500, 3)
    origin = points.double().amin(0) - 0.05
    cells: dict[tuple[int, ...], list[torch.Tensor]] = {}
    for point in points.double():
        cells.setdefault(tuple(((point - origin) / 0.1).floor().long().tolist()), []).append(point)
    slow = torch.stack([torch.stack(cells[key]).mean(0) for key in sorted(cells)]).float()
    torch.testing.assert_close(voxel_means(points, 0.1), slow)


def test_numbers_of_a_report_survive_json_with_their_protocol() -> None:
    report = compare_shapes(ball(0.4), ball(0.5), protocol=QUICK)
    read = json.loads(json.dumps(report.as_json()))
    assert read["protocol"]["alignment"] == "none"
    assert read["volume"][0]["resolution"] == 32
    assert read["chamfer_visible"] == report.chamfer_visible


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long)), "no triangles"),
        (Mesh(torch.full((3, 3), torch.nan), torch.tensor([[0, 1, 2]])), "not finite"),
        (Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]])), "without area"),
        (Mesh(torch.rand(3, 3), torch.tensor([[0, 1, 7]])), "refers to vertices up to 7"),
    ],
    ids=["empty", "NaN", "degenerate", "broken index"],
)
def test_unusable_meshes_are_refused_by_name(broken: Mesh, reason: str) -> None:
    with pytest.raises(BadInput, match=f"predicted mesh .*{reason}"):
        compare_shapes(broken, ball(0.5), protocol=QUICK)
    with pytest.raises(BadInput, match=f"true mesh .*{reason}"):
        compare_shapes(ball(0.5), broken, protocol=QUICK)


def test_an_open_mesh_gets_no_volume_but_a_reason() -> None:
    whole = ball(0.5)
    open_below = Mesh(whole.vertices, whole.faces[whole.vertices[whole.faces].mean(1)[:, 2] > 0])
    report = compare_shapes(open_below, whole, protocol=QUICK)
    assert report.volume[0].iou is None
    assert "the prediction is not a closed solid" in report.notes[0]
    assert not report.prediction.watertight
    assert report.truth.watertight
    assert np.isfinite(report.chamfer_visible)


def test_the_published_case_gives_the_published_numbers(chicken: Path) -> None:
    truth = from_trimesh(trimesh.load(chicken / "mesh_world.ply", process=False))
    truth_points = points_of_depth(read_ring_depth(chicken / "gt_depth"), ring_cameras())
    assert len(truth_points) == 22340
    assert point_chamfer(visible_points(truth), truth_points) < 1e-4
    for scale, published in ((1.003, 0.0021), (1.01, 0.0044), (1.02, 0.0058)):
        scaled = visible_points(replace(truth, vertices=truth.vertices * scale))
        assert point_chamfer(scaled, truth_points) == pytest.approx(published, abs=6e-5)
