"""The evaluator: the truth itself is perfect, nonsense is a failure that counts, only what was said is measured."""

from dataclasses import replace

import pytest
import torch
from known_shapes import ball, box

from epimesh.cameras import Cameras
from epimesh.evaluation.baselines.photo_only import copied_photo
from epimesh.evaluation.ground_truth.truth_object import TruthObject, photo_of
from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.metrics.shapes import ShapeProtocol
from epimesh.evaluation.protocols.evaluator import Evaluator, GeneratorProtocol, Prediction
from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import Light, render_mesh
from epimesh.views import Views

QUICK = ShapeProtocol(thresholds=(0.02,), samples=2000, resolutions=(32,))
PROTOCOL = GeneratorProtocol(photo_size=48, mesh=True, shape=QUICK)
SHAPE = box(0.4, 0.8, 0.5)


def truth(elevation_deg: float = 30.0) -> TruthObject:
    camera = Cameras.on_sphere(torch.zeros(1), torch.tensor([elevation_deg]), size=48)
    shown = render_mesh(SHAPE, camera, light=Light(), threads=1)
    return TruthObject(SHAPE, photo_of(shown, elevation_deg), 0.9)


def evaluator(elevation_deg: float = 30.0) -> Evaluator:
    return Evaluator("box", truth(elevation_deg), PROTOCOL)


def test_the_truth_gets_full_marks() -> None:
    court = evaluator()
    row = court.row("truth", lambda: Prediction(court.true_views, SHAPE))
    assert row.failure is None
    assert (row.object, row.method, row.seed, row.scale) == ("box", "truth", None, 0.9)
    assert (row["psnr"], row["novel_psnr"], row["object_psnr"]) == (100, 100, 100)
    assert row["ssim"] == pytest.approx(1)
    assert (row["silhouette_iou"], row["sharpness"], row["volume_iou"], row["f_score"]) == (1, 1, 1, 1)
    assert row["chamfer_visible"] == 0
    assert row["seconds"] is not None


def test_only_what_was_said_is_measured() -> None:
    court = evaluator()
    views_only, mesh_only = (
        court.row("views", lambda: Prediction(views=court.true_views)),
        court.row("mesh", lambda: Prediction(mesh=ball(0.3))),
    )
    assert views_only["volume_iou"] is views_only["f_score"] is mesh_only["psnr"] is mesh_only["sharpness"] is None
    assert 0 < mesh_only["volume_iou"] < 1


def test_walls_around_an_empty_inside_have_no_volume_to_compare() -> None:
    inner = box(0.36, 0.76, 0.46)
    walls = Mesh(
        torch.cat([SHAPE.vertices, inner.vertices]),
        torch.cat([SHAPE.faces, inner.faces.flip(-1) + len(SHAPE.vertices)]),
    )
    court = Evaluator("walls", replace(truth(), mesh=walls), PROTOCOL)
    row = court.row("truth", lambda: Prediction(mesh=walls))
    assert row["volume_iou"] is None
    assert row["f_score"] == 1


def test_novel_views_leave_out_the_one_that_the_photo_shows() -> None:
    court = evaluator()
    row = court.row("copy", lambda: Prediction(copied_photo(truth().photo, court.cameras)))
    # Of 16 views one is answered perfectly, which the mean over the others does not see.
    assert row["psnr"] == pytest.approx((15 * row["novel_psnr"] + 100) / 16, abs=0.5)
    low = evaluator(10.0)
    other = low.row("copy", lambda: Prediction(copied_photo(truth(10.0).photo, low.cameras)))
    assert other["psnr"] == other["novel_psnr"]


def test_answers_for_other_cameras_are_compared_with_the_truth_seen_from_there() -> None:
    court = evaluator()
    cameras = Cameras.ring(6, size=40, elevation_deg=-10.0)
    row = court.row("elsewhere", lambda: Prediction(render_mesh(SHAPE, cameras, light=Light(), threads=1)))
    assert row["psnr"] == 100
    assert len(court.cameras) == 6


def failing() -> Prediction:
    raise ValueError("the network\nexploded")


def test_a_failure_of_any_kind_is_a_row_that_says_why() -> None:
    court = evaluator()
    broken = court.true_views
    unusable = [
        (failing, "ValueError: the network"),
        (lambda: Prediction(replace(broken, rgb=broken.rgb * torch.nan)), "BadInput: .* not finite"),
        (
            lambda: Prediction(mesh=Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))),
            "BadInput: .*no triangles",
        ),
    ]
    for answer, reason in unusable:
        row = court.row("generator", answer, seed=3)
        assert row.seed == 3
        assert row["psnr"] is row["volume_iou"] is None
        with pytest.raises(RuntimeError, match=reason):
            raise RuntimeError(row.failure)


def test_an_answer_without_an_object_is_measured_and_bad_not_left_out() -> None:
    court = evaluator()
    empty = Views(torch.ones(16, 3, 48, 48), torch.zeros(16, 1, 48, 48), court.cameras)
    row: Scores = court.row("generator", lambda: Prediction(empty))
    assert row.failure is None
    assert row["silhouette_iou"] == 0
    assert row["sharpness"] == 0
