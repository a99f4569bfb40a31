"""How one answer about one object is judged: its views against the true views, its mesh against the true mesh."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.evaluation.baselines import silhouette_hull
from epimesh.evaluation.images import compare_views, mean_scores
from epimesh.evaluation.occupancy import occupancy
from epimesh.evaluation.shapes import ShapeProtocol, compare_shapes
from epimesh.evaluation.truth_object import TruthObject
from epimesh.evaluation.visible import visible_points
from epimesh.mesh import Mesh
from epimesh.views import Views

FULL = 0.5  # share of the hull of its true silhouettes that a solid fills, at least
HULL_SIZE = 128  # pixels


@dataclass(frozen=True)
class GeneratorProtocol:
    """How a generator is measured.

    Args:
        elevation_deg: of the photos; their azimuth is 0, and the generator is told the elevation.
        seeds: every object is tried with each.
        photo_size: pixels per side.
        mesh: also reconstruct, and compare shapes.
        shape: how shapes are compared; the F-score is that of its first threshold.
    """

    elevation_deg: float = 30.0
    seeds: tuple[int, ...] = (0,)
    photo_size: int = 256
    mesh: bool = False
    shape: ShapeProtocol = field(default_factory=lambda: ShapeProtocol(thresholds=(0.02,), resolutions=(64,)))


@dataclass(frozen=True)
class Row:
    """One answer to one object: of the generator with one seed, or of a baseline. None: not measured.

    Args:
        object: its id.
        method: "generator" or the name of a baseline.
        seed: of the generator.
        failure: what went wrong, if anything.
        seconds: from photo to decoded views, and to the mesh where one is made.
        scale: of the object in the frame.
        psnr: mean over all views, in dB.
        novel_psnr: the same without the view that repeats the photo's own camera.
        object_psnr: within the true silhouettes.
        ssim: mean over all views.
        silhouette_iou: mean over all views.
        sharpness: gradient energy relative to the truth.
        volume_iou: None too where the truth is no closed solid that fills at least half of its silhouettes' hull.
        chamfer_visible: of what the 16 ring cameras see.
        chamfer_surface: all over the surfaces.
        f_score: at the protocol's threshold.
    """

    object: str
    method: str
    seed: int | None = None
    failure: str | None = None
    seconds: float | None = None
    scale: float | None = None
    psnr: float | None = None
    novel_psnr: float | None = None
    object_psnr: float | None = None
    ssim: float | None = None
    silhouette_iou: float | None = None
    sharpness: float | None = None
    volume_iou: float | None = None
    chamfer_visible: float | None = None
    chamfer_surface: float | None = None
    f_score: float | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """What was said about an object: views, a mesh, or both."""

    views: Views | None = None
    mesh: Mesh | None = None


class Judge:
    """Compares answers about one object with its truth. True views are rendered once per set of cameras."""

    def __init__(self, name: str, truth: TruthObject, protocol: GeneratorProtocol) -> None:
        self._name = name
        self._truth = truth
        self._protocol = protocol
        self._true_views: Views | None = None

    @cached_property
    def _true_points(self) -> Float[Tensor, "N 3"]:
        return visible_points(self._truth.mesh)

    @cached_property
    def _is_full(self) -> bool:
        """False of walls around an empty inside, as many models are: their volume says nothing of their shape."""
        hull = silhouette_hull(self._truth.views(Cameras.ring(size=HULL_SIZE)))
        filled, allowed = (int(occupancy(mesh).inside.sum()) for mesh in (self._truth.mesh, hull))
        return filled >= FULL * allowed

    @property
    def true_views(self) -> Views:
        """The truth from the cameras that the generator answered for; the standard ring if it did not answer."""
        if self._true_views is None:
            self._true_views = self._truth.views(Cameras.ring(size=self._protocol.photo_size))
        return self._true_views

    @property
    def cameras(self) -> Cameras:
        """Of the true views."""
        return self.true_views.cameras

    def row(self, method: str, answer: Callable[[], Answer], seed: int | None = None) -> Row:
        """The answer and its scores; where anything goes wrong, a row that says what."""
        row = Row(self._name, method, seed, scale=self._truth.scale)
        try:
            started = time.perf_counter()
            said = answer()
            row = replace(row, seconds=round(time.perf_counter() - started, 3))
            if said.views is not None:
                row = self._with_images(row, said.views)
            if said.mesh is not None:
                row = self._with_shape(row, said.mesh)
        except Exception as error:  # a failure of any kind becomes a row that says so
            row = replace(row, failure=reason_of(error))
        return row

    def _with_images(self, row: Row, views: Views) -> Row:
        views = replace(views, rgb=views.rgb.cpu().float(), alpha=views.alpha.cpu().float(), normals=None, depth=None)
        if self._true_views is None or not _same_cameras(views.cameras, self._true_views.cameras):
            self._true_views = self._truth.views(views.cameras)
        scores = compare_views(views, self._true_views)
        novel = [score.psnr for score, seen in zip(scores, self._photographed(), strict=True) if not seen]
        mean = mean_scores(scores)
        return replace(row, **asdict(mean), novel_psnr=sum(novel) / len(novel) if novel else None)

    def _photographed(self) -> list[bool]:
        """Which cameras stand where the photo was taken."""
        apart = (self.cameras.centres - self._truth.photo.camera.centres).norm(dim=-1)
        return (apart < 1e-3).tolist()

    def _with_shape(self, row: Row, mesh: Mesh) -> Row:
        protocol, points = self._protocol.shape, self._true_points
        report = compare_shapes(mesh, self._truth.mesh, protocol=protocol, truth_points=points)
        iou = report.volume[0].iou
        return replace(
            row,
            volume_iou=iou if iou is not None and self._is_full else None,
            chamfer_visible=report.chamfer_visible,
            chamfer_surface=report.chamfer_surface,
            f_score=report.agreement[0].f_score,
        )


def _same_cameras(first: Cameras, second: Cameras) -> bool:
    same_size = (first.height, first.width, len(first)) == (second.height, second.width, len(second))
    return same_size and torch.allclose(first.world_to_camera, second.world_to_camera, atol=1e-5)


def reason_of(error: Exception) -> str:
    """What went wrong, in one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
