"""How one answer about one object is judged: its views against the true views, its mesh against the true mesh."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.evaluation.ground_truth.truth_object import TruthObject
from epimesh.evaluation.metrics.consistency import consistency, rerender_psnr, warp_psnr
from epimesh.evaluation.metrics.images import compare_views, mean_scores
from epimesh.evaluation.metrics.occupancy import SOLID_AGREEMENT
from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.metrics.shapes import ShapeProtocol, ShapeReport, compare_shapes
from epimesh.evaluation.metrics.visible import visible_points
from epimesh.evaluation.report.thumbnails import Thumbnails
from epimesh.mesh import Mesh
from epimesh.surface import Surface
from epimesh.views import Views


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


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was said about an object: views, a mesh, or both; and the surface between them, where there is one."""

    views: Views | None = None
    mesh: Mesh | None = None
    surface: Surface | None = None


class Evaluator:
    """Compares answers about one object with its truth. True views are made once per set of cameras."""

    def __init__(
        self,
        name: str,
        truth: TruthObject,
        protocol: GeneratorProtocol,
        *,
        agreement: bool = False,
        thumbnails: Thumbnails | None = None,
    ) -> None:
        """Of one object.

        Args:
            name: of the object.
            truth: about it.
            protocol: how answers are judged.
            agreement: also measure how well the views of an answer agree with each other.
            thumbnails: where small pictures of answers with a seed are kept.
        """
        self._name = name
        self._truth = truth
        self._protocol = protocol
        self._agreement = agreement
        self._album = thumbnails
        self._true_views: Views | None = None

    @cached_property
    def _true_points(self) -> Float[Tensor, "N 3"]:
        return visible_points(self._truth.mesh)

    @cached_property
    def _is_full(self) -> bool:
        return self._truth.is_full()

    @property
    def true_views(self) -> Views:
        """The truth from the cameras that the generator answered for; its usual ones if it did not answer."""
        if self._true_views is None:
            self._true_views = self._truth.views(self._truth.cameras(self._protocol.photo_size))
        return self._true_views

    @property
    def cameras(self) -> Cameras:
        """Of the true views."""
        return self.true_views.cameras

    def row(self, method: str, answer: Callable[[], Prediction], seed: int | None = None) -> Scores:
        """The answer and its scores; where anything goes wrong, a row that says what."""
        row = Scores(self._name, method, seed, scale=self._truth.scale)
        try:
            started = time.perf_counter()
            said = answer()
            row = replace(row, seconds=round(time.perf_counter() - started, 3))
            views = None if said.views is None else self._truth.comparable(_plain(said.views))
            if views is not None:
                row = self._with_images(row, views, said.surface)
            if said.mesh is not None:
                row = self._with_shape(row, said.mesh)
            if self._album is not None and seed is not None:
                self._album.keep_answer(self._name, seed, views, said.mesh, self._truth.mesh)
        except Exception as error:  # a failure of any kind becomes a row that says so
            row = replace(row, failure=reason_of(error))
        return row

    def _with_images(self, row: Scores, views: Views, surface: Surface | None) -> Scores:
        if self._true_views is None or not _same_cameras(views.cameras, self._true_views.cameras):
            self._true_views = self._truth.views(views.cameras)
        scores = compare_views(views, self._true_views)
        novel = [score.psnr for score, seen in zip(scores, self._photographed(), strict=True) if not seen]
        mean = mean_scores(scores)
        row = replace(row, **asdict(mean), novel_psnr=sum(novel) / len(novel) if novel else None)
        return self._with_agreement(row, views, surface) if self._agreement else row

    def _with_agreement(self, row: Scores, views: Views, surface: Surface | None) -> Scores:
        depth = self.true_views.depth
        assert depth is not None
        row = replace(row, **asdict(consistency(views, depth)))
        if surface is None:
            return row
        shown = surface.render(views.cameras)
        assert shown.depth is not None
        return replace(row, own_warp_psnr=warp_psnr(views, shown.depth), rerender_psnr=rerender_psnr(views, shown))

    def _photographed(self) -> list[bool]:
        """Which cameras stand where the photo was taken."""
        apart = (self.cameras.centres - self._truth.photo.camera.centres).norm(dim=-1)
        return (apart < 1e-3).tolist()

    def _with_shape(self, row: Scores, mesh: Mesh) -> Scores:
        protocol, points = self._protocol.shape, self._true_points
        report = compare_shapes(mesh, self._truth.mesh, protocol=protocol, truth_points=points)
        return replace(
            row,
            note=self._why_no_volume(report),
            volume_iou=report.volume[0].iou if self._is_full else None,
            chamfer_visible=report.chamfer_visible,
            chamfer_surface=report.chamfer_surface,
            f_score=report.agreement[0].f_score,
        )

    def _why_no_volume(self, report: ShapeReport) -> str | None:
        if report.volume[0].truth_unanimous < SOLID_AGREEMENT:
            return "no volume IoU: the truth is no closed solid"
        if not self._is_full:
            return "no volume IoU: the truth is walls around an empty inside"
        if report.volume[0].prediction_unanimous < SOLID_AGREEMENT:
            return "no volume IoU: the prediction is no closed solid"
        return None


def _plain(views: Views) -> Views:
    return replace(views, rgb=views.rgb.cpu().float(), alpha=views.alpha.cpu().float(), normals=None, depth=None)


def _same_cameras(first: Cameras, second: Cameras) -> bool:
    same_size = (first.height, first.width, len(first)) == (second.height, second.width, len(second))
    return same_size and torch.allclose(first.world_to_camera, second.world_to_camera, atol=1e-5)


def reason_of(error: Exception) -> str:
    """What went wrong, in one line."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
