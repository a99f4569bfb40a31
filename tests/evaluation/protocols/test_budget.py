"""The error budget: every rung knows more of the truth, and what a step costs is what its rungs differ by."""

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import pytest
import torch
import trimesh
from known_shapes import box

from epimesh.cameras import FOV_DEG, Cameras
from epimesh.cli import main
from epimesh.decoders import VaeDecoder
from epimesh.evaluation.ground_truth.oracle_stages import (
    TrueSolid,
    radius_of,
    seen_solid,
    textured_background,
    true_latents,
)
from epimesh.evaluation.ground_truth.truth_object import TruthObject
from epimesh.evaluation.metrics.occupancy import occupancy, volume_iou
from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.protocols.budget import DEPTH, LATENTS, MASK, MESH, RUNGS, SOLID, VIEWS, Ladder, judged
from epimesh.evaluation.protocols.evaluator import Evaluator, GeneratorProtocol
from epimesh.evaluation.report.budget_report import budget_table, costs
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.pipeline.parser import pipeline_from
from epimesh.reconstruction import MarchingCubes
from epimesh.rendering.ray_casting import Light, render_mesh
from epimesh.runtime import Runtime
from epimesh.views import LatentViews

CALLS: list[str] = []
PRESET = """
read: {class_path: tiny_stages.ReadDisc}
views: {class_path: test_budget.SamePhoto}
decode: {class_path: epimesh.decoders.VaeDecoder}
reconstruct: {class_path: epimesh.reconstruction.VisualHull, init_args: {resolution: 32}}
mesh: {class_path: epimesh.reconstruction.MarchingCubes, init_args: {resolution: 32, faces: 400}}
texture: {class_path: epimesh.stages.BakeTexture, init_args: {size: 64}}
"""


@dataclass(frozen=True, kw_only=True)
class SamePhoto(ViewGenerator):
    """The photo from everywhere, in latents of the autoencoder that ships."""

    latent_space: ClassVar[str] = "patch"

    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        CALLS.append("views")
        rgba = torch.cat([photo.on_white(), photo.rgba[3:]])[None]
        small = torch.nn.functional.interpolate(rgba, (48, 48), mode="bilinear", antialias=True)
        with torch.inference_mode():
            latents = VaeDecoder().autoencoder.encode(small).clone()
        return LatentViews(latents.expand(6, -1, -1, -1).clone(), Cameras.ring(6, size=48), photo, "patch")


def budget(objects: Path, *options: str) -> int:
    (objects.parent / "tiny.yaml").write_text(PRESET)
    chosen = ["--preset", str(objects.parent / "tiny.yaml"), "--photo-size", "48", "--count", "1"]
    return main(["eval", "budget", str(objects), str(objects.parent / "out"), *chosen, *options])


def test_one_command_measures_every_rung_and_a_second_call_nothing(
    objects: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert budget(objects) == 0
    out = objects.parent / "out"
    table = capsys.readouterr().out
    with (out / "scores.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(RUNGS)
    assert not any(row["failure"] or row["note"] for row in rows.values())
    assert all(row["textured_psnr"] and row["volume_iou"] for row in rows.values())
    assert [rung for rung in rows if rows[rung]["psnr"]] == list(RUNGS)[:3]  # true views need no score
    assert [rung for rung in rows if rows[rung]["mask_iou"]] == list(RUNGS)[:1]
    iou = {rung: float(row["volume_iou"]) for rung, row in rows.items()}
    # The same front from all sides is no chest; what is left below it is what no camera sees.
    assert iou[MASK] + 0.2 < iou[LATENTS] < iou[VIEWS] + 0.01 < iou[DEPTH]
    assert iou[SOLID] > 0.96
    assert iou[MESH] == 1
    assert float(rows[MESH]["textured_psnr"]) > float(rows[MASK]["textured_psnr"]) + 3
    assert "| imagining the views |" in table
    assert "costs most" in table
    assert table == (out / "table.md").read_text() + "\n"
    assert ElementTree.parse(out / "budget.svg").getroot().tag.endswith("svg")
    assert "BakeTexture" in [stage["class"] for stage in json.loads((out / "summary.json").read_text())["stages"]]
    CALLS.clear()
    assert budget(objects) == 0
    assert capsys.readouterr().out == table
    assert CALLS == []


def test_a_truth_that_is_not_closed_has_no_rung_of_its_solid() -> None:
    whole = box(0.6, 1.0, 0.5)
    truth = TruthObject(Mesh(whole.vertices, whole.faces[2:]), Photo(torch.ones(4, 48, 48), 30.0, FOV_DEG), 1.0)
    ladder = Ladder("chest", pipeline_from(ImageTo3D, []), truth, Runtime("cpu"))
    row = judged(Evaluator("chest", truth, GeneratorProtocol(mesh=True)), ladder, SOLID, 0)
    assert (row.object, row.method, row.failure) == ("chest", SOLID, None)
    assert row.note == "left out: the truth is no closed solid"
    assert replace(ladder, truth=replace(truth, mesh=whole)).solid


ROWS = [
    Scores("cup", MASK, 0, values={"f_score": 0.2, "chamfer_visible": 0.05}),
    Scores("cup", MASK, 1, values={"f_score": 0.4, "chamfer_visible": 0.07}),
    Scores("cup", LATENTS, 0, values={"f_score": 0.7, "chamfer_visible": 0.01}),
    Scores("hat", MASK, 0, values={"f_score": 0.5, "chamfer_visible": 0.02}),
    Scores("hat", LATENTS, 0, values={"f_score": 0.5, "chamfer_visible": 0.03}),
    Scores("jar", MASK, 0, values={"f_score": 0.9, "chamfer_visible": 0.5}),
    Scores("jar", LATENTS, 0, failure="StageFailed: nothing"),
]


def test_a_step_costs_what_its_rungs_differ_by_over_objects_that_have_both() -> None:
    found = {(one.step, one.measure): one for one in costs(ROWS)}
    assert set(found) == {("imagining the views", "f_score"), ("imagining the views", "chamfer_visible")}
    f_score, chamfer = found["imagining the views", "f_score"], found["imagining the views", "chamfer_visible"]
    assert (f_score.mean, f_score.objects) == (pytest.approx((0.4 + 0.0) / 2), 2)
    assert (f_score.low, f_score.high) == (pytest.approx(0.0), pytest.approx(0.4))
    assert chamfer.mean == pytest.approx((0.05 - 0.01) / 2)  # less is better: what is added is lost
    table = budget_table(ROWS)
    assert "F-score: **imagining the views** costs most, .200 (.400 with it, .600 with the truth)" in table
    assert "| triangles |  |  |" in table  # no object has both of its rungs
    assert "[-.0100, .0500] (2)" in table


def test_decibels_near_the_top_do_not_make_a_step_the_dearest() -> None:
    levels = {MASK: 15.0, LATENTS: 25.0, SOLID: 34.0, MESH: 46.0}
    table = budget_table([Scores("cup", rung, 0, values={"textured_psnr": level}) for rung, level in levels.items()])
    assert "textured dB: **imagining the views** costs most, 10.0 " in table


def test_the_seen_solid_holds_the_truth_and_is_exact_where_cameras_look() -> None:
    truth = box(0.5, 0.8, 0.4)
    seen = MarchingCubes(resolution=64, faces=0)(seen_solid(truth, Cameras.ring(size=64), 64), runtime=Runtime("cpu"))
    inside, around = occupancy(truth).inside, occupancy(seen).inside
    assert int((inside & ~around).sum()) < 0.03 * int(inside.sum())
    top, bottom = float(seen.vertices[:, 2].amax()), float(seen.vertices[:, 2].amin())
    assert top == pytest.approx(0.2, abs=0.01)
    assert bottom == pytest.approx(-0.2, abs=0.01)  # nobody looks from below, but the object's box ends there


def test_what_no_camera_sees_is_filled_within_the_objects_box() -> None:
    """Below a plate on a small foot, where cameras that look down see nothing."""
    plate, foot = trimesh.creation.box((0.8, 0.8, 0.05)), trimesh.creation.box((0.1, 0.1, 0.1))
    parts = trimesh.util.concatenate([plate.apply_translation((0, 0, 0.2)), foot.apply_translation((0, 0, -0.15))])
    truth = Mesh(torch.tensor(parts.vertices).float(), torch.tensor(parts.faces))
    field = seen_solid(truth, Cameras.ring(size=64), 64)
    below, beside = torch.tensor([[0.15, 0.0, 0.15]]), torch.tensor([[0.35, 0.0, -0.1]])
    assert float(field.sdf(below)) < 0 < float(field.sdf(beside))
    assert MarchingCubes(resolution=64, faces=0)(field, runtime=Runtime("cpu")).vertices[:, 2].amin() > -0.21


def test_a_true_solid_whose_triangles_leak_ends_at_its_box() -> None:
    """Rays through the open bottom miscount; without the box the inside would run on to the border of the cube."""
    open_box = box(0.5, 0.8, 0.4)
    upper = open_box.vertices[open_box.faces].mean(dim=1)[:, 2] > -0.19
    leaking = Mesh(open_box.vertices, open_box.faces[upper])
    points = torch.tensor([[0.0, 0.0, -0.3], [0.1, 0.1, -0.5], [0.4, 0.0, 0.0]])
    assert (TrueSolid(leaking, 1.0).sdf(points) > 0).all()


def test_the_signed_distance_of_a_box_is_that_of_the_formula() -> None:
    truth, points = box(0.5, 0.8, 0.4), torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    beyond = points.abs() - torch.tensor([0.25, 0.4, 0.2])
    expected = beyond.clamp_min(0).norm(dim=-1) + beyond.amax(-1).clamp_max(0)
    torch.testing.assert_close(TrueSolid(truth, radius_of(truth)).sdf(points), expected, atol=1e-5, rtol=0)


def test_the_true_solid_through_the_mesher_is_nearly_the_truth() -> None:
    truth = box(0.5, 0.8, 0.4)
    made = MarchingCubes(resolution=64, faces=1000)(TrueSolid(truth, radius_of(truth)), runtime=Runtime("cpu"))
    assert volume_iou(occupancy(made), occupancy(truth)) > 0.95


def test_true_latents_decode_to_nearly_the_true_views() -> None:
    views = render_mesh(
        Mesh(box(0.5, 0.8, 0.4).vertices, box(0.5, 0.8, 0.4).faces), Cameras.ring(3, size=64), light=Light()
    )
    photo = Photo(torch.cat([views.rgb[0], views.alpha[0]]), 30.0, 49.1)
    decoder = VaeDecoder()
    latents = true_latents(views, photo, decoder, "patch")
    decoded = decoder(latents, runtime=Runtime("cpu"))
    assert float((decoded.rgb - views.rgb).square().mean()) < 0.002


def test_a_textured_background_is_not_plain_and_follows_its_random_numbers() -> None:
    first, again, other = (textured_background(64, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(first.std(dim=(1, 2)).min()) > 0.1
