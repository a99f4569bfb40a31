"""Quality cannot fall unseen: what was measured once (docs/results.md) holds within the spread of seeds and machines.

Minutes of CPU, so only with `-m slow`. Beside every bound stands what was found when it was set. A bound that a change
moves on purpose is moved in the same commit, together with the tables that it came from.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from epimesh.artifact import Artifact
from epimesh.cameras import Cameras
from epimesh.data.objects import read_manifest
from epimesh.data.posed.posed_views import read_posed_views
from epimesh.decoders import VaeDecoder
from epimesh.evaluation.ground_truth.shape_files import read_shape
from epimesh.evaluation.ground_truth.truth_object import truth_object
from epimesh.evaluation.metrics.consistency import warp_psnr
from epimesh.evaluation.metrics.images import compare_views, mean_scores, silhouette_iou
from epimesh.evaluation.metrics.mesh_health import health
from epimesh.evaluation.metrics.shapes import ShapeProtocol, ShapeReport, compare_shapes
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.pipeline.image_to_3d import ImageTo3D, photo_key, views_key
from epimesh.pipeline.recorder import Recorder
from epimesh.pipeline.workspace import Workspace
from epimesh.reconstruction import MarchingCubes, NeuS
from epimesh.reconstruction.marching_cubes import TOLERANCE
from epimesh.rendering.ray_casting import render_mesh
from epimesh.runtime import Runtime
from epimesh.views import Views

pytestmark = pytest.mark.slow

CPU = Runtime("cpu")
EXAMPLES = Path(__file__).parent.parent / "examples"
LARGEST = 0.75  # scene units from the origin along an axis; an object of unit size reaches about half
PROTOCOL = ShapeProtocol(thresholds=(0.01,), resolutions=(64,))


@dataclass(frozen=True)
class Bound:
    """The worst shape that is accepted.

    Args:
        chamfer: of the surface that the ring sees, at most.
        iou: of the volume, at least; None where the truth is no closed solid.
        f_score: at .01, at least.
    """

    chamfer: float
    iou: float | None
    f_score: float

    def check(self, found: ShapeReport) -> None:
        assert found.chamfer_visible < self.chamfer
        assert found.agreement[0].f_score > self.f_score
        if self.iou is not None:
            assert found.volume[0].iou is not None
            assert found.volume[0].iou > self.iou


def recorder(folder: Path, key: str) -> Recorder:
    return Recorder(Workspace(folder), CPU, key)


def mesh_of(made: list[Artifact]) -> Mesh:
    mesh = made[-1]
    assert isinstance(mesh, Mesh)
    return mesh


def test_the_published_chicken_comes_back_from_its_generated_views(shared: Path, tmp_path: Path) -> None:
    views = read_posed_views(shared / "data" / "chicken" / "gen")
    pipeline = replace(ImageTo3D.from_preset("small"), reconstruct=NeuS())
    mesh = mesh_of(list(pipeline.from_views(views, None, recorder(tmp_path, views_key(views)))))
    truth = read_shape(shared / "data" / "chicken" / "mesh_world.ply").mesh
    bound = Bound(chamfer=0.0069, iou=0.915, f_score=0.785)  # .0064, .927, .807; seeds .0055 to .0063 in the bench
    bound.check(compare_shapes(mesh, truth, protocol=PROTOCOL))
    assert mean_scores(compare_views(render_mesh(mesh, views.cameras), views)).psnr > 31.4  # 32.1
    assert health(mesh).watertight


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("pbu_mini_claw_hammer_1", Bound(chamfer=0.0075, iou=0.86, f_score=0.76)),  # .0062, .896, .806
        ("sh3d_Stool", Bound(chamfer=0.0130, iou=None, f_score=0.55)),  # .0112, no solid, .596
    ],
)
def test_thin_objects_come_back_from_their_true_views(shared: Path, name: str, bound: Bound) -> None:
    (record,) = [record for record in read_manifest(shared / "data" / "objects", "test") if record.id == name]
    truth = truth_object(record, elevation_deg=30.0, size=256)
    views = replace(truth.views(Cameras.ring(size=256)), normals=None, depth=None)
    mesh = MarchingCubes()(NeuS()(views, None, runtime=CPU), runtime=CPU)
    bound.check(compare_shapes(mesh, truth.mesh, protocol=PROTOCOL))


@dataclass(frozen=True)
class Imagined:
    """What the default preset makes of photos, means over objects. Views are scored without the photo's own.

    Args:
        psnr: of the views, in dB.
        iou: of their silhouettes.
        warp: how well neighbours agree by true depth, in dB.
    """

    psnr: float
    iou: float
    warp: float


@dataclass(frozen=True)
class Answers:
    """About the first six realistic test objects, of one seed: the same latents decoded in two ways, and the shapes."""

    plain: Imagined
    together: Imagined
    chamfer: float
    f_score: float


@pytest.fixture(scope="module")
def answers(shared: Path) -> Answers:
    records = [record for record in read_manifest(shared / "data" / "objects", "test") if record.realistic][:6]
    preset, protocol = ImageTo3D.from_preset("small"), ShapeProtocol(thresholds=(0.02,), resolutions=())
    plain, together, shapes = [], [], []
    for record in records:
        truth = truth_object(record, elevation_deg=30.0, size=256)
        latents = preset.views(truth.photo, runtime=CPU)
        true_views = truth.views(latents.cameras)
        plain.append(scores(VaeDecoder()(latents, runtime=CPU), true_views))
        views = preset.decode(latents, runtime=CPU)
        together.append(scores(views, true_views))
        mesh = preset.mesh(preset.reconstruct(views, truth.photo, runtime=CPU), runtime=CPU)
        shapes.append(compare_shapes(mesh, truth.mesh, protocol=protocol))
    return Answers(
        Imagined(*torch.tensor(plain).mean(0).tolist()),
        Imagined(*torch.tensor(together).mean(0).tolist()),
        chamfer=sum(shape.chamfer_visible for shape in shapes) / len(shapes),
        f_score=sum(shape.agreement[0].f_score for shape in shapes) / len(shapes),
    )


def scores(views: Views, truth: Views) -> tuple[float, float, float]:
    assert truth.depth is not None
    found, warp = compare_views(views, truth), warp_psnr(views, truth.depth)
    assert warp is not None
    return mean_scores(found[1:]).psnr, mean_scores(found).silhouette_iou, warp


# Bounds lie three to five standard deviations over seeds below the worst of the seeds 0, 1, 2.


def test_the_views_imagined_of_photos_are_as_likely_as_they_were(answers: Answers) -> None:
    assert answers.plain.psnr > 15.95  # 16.30, 16.16, 16.24
    assert answers.plain.iou > 0.570  # .5829, .5783, .5797
    assert answers.plain.warp > 15.55  # 15.78, 15.79, 15.72
    assert answers.together.psnr > 16.4  # 16.56, 16.50, 16.53
    assert answers.together.iou > 0.598  # .6056, .6033, .6028
    assert answers.together.warp > 17.35  # 17.72, 17.93, 17.72


def test_decoding_the_views_together_makes_them_likelier_and_lets_them_agree(answers: Answers) -> None:
    assert answers.together.psnr - answers.plain.psnr > 0.14  # .26, .34, .29
    assert answers.together.iou - answers.plain.iou > 0.018  # .0227, .0250, .0231
    assert answers.together.warp - answers.plain.warp > 1.6  # 1.94, 2.14, 2.00


def test_the_shapes_made_of_photos_are_as_near_the_truth_as_they_were(answers: Answers) -> None:
    assert answers.chamfer < 0.0635  # .0558, .0583, .0552
    assert answers.f_score > 0.290  # .334, .323, .344


def test_the_default_is_as_near_the_truth_as_it_was(shared: Path) -> None:
    """The same six objects; nothing is random, so only machines differ."""
    records = [record for record in read_manifest(shared / "data" / "objects", "test") if record.realistic][:6]
    preset, protocol = ImageTo3D.from_preset("volume"), ShapeProtocol(thresholds=(0.02,), resolutions=())
    views, shapes = [], []
    for record in records:
        truth = truth_object(record, elevation_deg=30.0, size=256)
        latents = preset.views(truth.photo, runtime=CPU)
        drawn = preset.decode(latents, runtime=CPU)
        views.append(scores(drawn, truth.views(drawn.cameras)))
        mesh = preset.mesh(preset.reconstruct(drawn, truth.photo, runtime=CPU), runtime=CPU)
        shapes.append(compare_shapes(mesh, truth.mesh, protocol=protocol))
    psnr, iou, _ = torch.tensor(views).mean(0).tolist()
    assert psnr > 15.1  # 15.27
    assert iou > 0.615  # .623
    assert sum(shape.chamfer_visible for shape in shapes) / len(shapes) < 0.0515  # .0499
    assert sum(shape.agreement[0].f_score for shape in shapes) / len(shapes) > 0.465  # .479


@pytest.mark.parametrize("preset", ["volume", "small"])
@pytest.mark.parametrize(("name", "outline_iou"), [("bird.jpg", 0.95), ("box.jpg", 0.92)])  # .982 and .954
def test_a_photo_becomes_a_sound_mesh_with_the_outline_that_the_photo_shows(
    name: str, outline_iou: float, preset: str, tmp_path: Path
) -> None:
    image = EXAMPLES / name
    made = list(ImageTo3D.from_preset(preset).steps(image, recorder(tmp_path, photo_key(image))))
    photo, mesh = made[0], mesh_of(made)
    assert isinstance(photo, Photo)
    drawn = render_mesh(mesh, photo.camera)
    assert silhouette_iou(drawn.alpha[0, 0], photo.rgba[3]) > outline_iou
    assert health(mesh).watertight
    assert len(mesh.faces) == pytest.approx(MarchingCubes().faces, rel=TOLERANCE)
    assert mesh.vertices.abs().max() < LARGEST
    assert mesh.texture is not None
    assert torch.isfinite(mesh.texture).all()
