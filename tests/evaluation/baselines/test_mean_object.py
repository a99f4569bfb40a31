"""The mean object: of equal objects it is the object, of different ones what they share."""

import dataclasses
from pathlib import Path

import pytest
import torch
from known_shapes import ball

from epimesh.cameras import Cameras
from epimesh.data.objects import read_manifest
from epimesh.data.packs.render_objects import fitting_scale
from epimesh.errors import BadInput, StageFailed, WeightsNotFound
from epimesh.evaluation.baselines.mean_object import MeanObject, mean_object
from epimesh.evaluation.ground_truth.truth_object import photo_of
from epimesh.evaluation.metrics.images import silhouette_iou
from epimesh.evaluation.metrics.occupancy import occupancy, volume_iou
from epimesh.rendering.ray_casting import Light, render_mesh


@pytest.fixture
def of_balls(objects: Path) -> MeanObject:
    marble = [record for record in read_manifest(objects, "test") if record.id == "marble"]
    return mean_object(marble * 2)


@pytest.fixture
def of_three(objects: Path) -> MeanObject:
    return mean_object(read_manifest(objects, "train"))


def test_the_mean_of_equal_balls_is_the_ball(of_balls: MeanObject) -> None:
    cameras = Cameras.ring(size=64)
    mesh = of_balls.mesh()
    radius = 0.5 * fitting_scale(ball(0.5).vertices, cameras)
    truth = render_mesh(ball(radius), cameras, light=Light(), threads=1)
    views = of_balls.views(cameras)
    assert float((views.rgb - truth.rgb).abs().mean()) < 0.01
    assert silhouette_iou(views.alpha[5, 0], truth.alpha[5, 0]) > 0.97
    assert volume_iou(occupancy(mesh, 64), occupancy(ball(radius), 64)) > 0.94


def test_the_mean_counts_what_went_in(of_three: MeanObject, objects: Path) -> None:
    assert (of_three.objects, of_three.solids) == (3, 3)
    assert int(of_three.solid[32, 32, 32]) == 255  # all three fill the middle
    assert sorted(set(of_three.solid.unique().tolist())) == [0, 85, 170, 255]
    for record in read_manifest(objects, "train")[:1]:
        record.path.write_bytes(b"broken")
    assert mean_object(read_manifest(objects, "train")).objects == 2


def test_within_a_silhouette_the_mean_shape_is_cut_to_it(of_three: MeanObject) -> None:
    camera = Cameras.on_sphere(torch.zeros(1), torch.zeros(1), size=64)
    photo = photo_of(render_mesh(ball(0.15), camera, threads=1), 0.0)
    whole, cut = of_three.mesh(), of_three.mesh(photo)
    sides = cut.vertices.amax(0) - cut.vertices.amin(0)
    assert float(sides[1:].max()) < 0.36 < float((whole.vertices.amax(0) - whole.vertices.amin(0))[1:].max())


def test_it_is_saved_and_read_back_bitwise(of_three: MeanObject, tmp_path: Path) -> None:
    of_three.save(tmp_path / "mean")
    again = MeanObject.load(str(tmp_path / "mean"))
    for field in dataclasses.fields(MeanObject):
        one, two = getattr(of_three, field.name), getattr(again, field.name)
        assert torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two


def test_the_one_that_ships_is_of_many_objects_and_gives_views_of_any_size() -> None:
    shipped = MeanObject.load()
    assert shipped.objects > 100
    assert shipped.views(Cameras.ring(size=128)).rgb.shape == (16, 3, 128, 128)
    with pytest.raises(BadInput, match="16 views, not 4"):
        shipped.views(Cameras.ring(4, size=64))


def test_what_is_no_mean_object_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFound):
        MeanObject.load("nowhere")
    (tmp_path / "mean.safetensors").write_bytes(b"nonsense")
    with pytest.raises(BadInput, match="epimesh eval mean-object"):
        MeanObject.load(str(tmp_path))


def test_without_any_closed_solid_there_is_no_mean_shape(objects: Path) -> None:
    for record in read_manifest(objects, "train"):
        record.path.write_bytes(b"broken")
    with pytest.raises(StageFailed, match="None of the 0 objects"):
        mean_object(read_manifest(objects, "train"))
