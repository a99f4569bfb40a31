"""How one answer about one object is judged: its views against the true views, its mesh against the true mesh."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.evaluation.ground_truth.truth_object import TruthObject
from epimesh.evaluation.metrics.comparison import ShapeComparison, ViewComparison
from epimesh.evaluation.metrics.metric import of_shape, of_views
from epimesh.evaluation.metrics.occupancy import SOLID_AGREEMENT
from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.metrics.shapes import ShapeProtocol, ShapeReport
from epimesh.evaluation.metrics.visible import visible_points
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.surface import Surface
from epimesh.views import Views

SAME_PLACE = 1e-3  # scene units between cameras


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


@runtime_checkable
class Pictures(Protocol):
    """Keeps small pictures of what is true and what was answered, for a page that people look at."""

    def keep_truth(self, name: str, photo: Photo, views: Views, mesh: Mesh | None) -> None:
        """Of one object."""
        ...

    def keep_answer(self, name: str, seed: int, views: Views | None, mesh: Mesh | None, true_mesh: Mesh) -> None:
        """Of one answer about it."""
        ...


class Evaluator:
    """Compares answers about one object with its truth. True views are made once per set of cameras."""

    def __init__(
        self,
        name: str,
        truth: TruthObject,
        protocol: GeneratorProtocol,
        *,
        agreement: bool = False,
        pictures: Pictures | None = None,
    ) -> None:
        """Of one object.

        Args:
            name: of the object.
            truth: about it.
            protocol: how answers are judged.
            agreement: also measure how well the views of an answer agree with each other.
            pictures: keeps small pictures of answers with a seed.
        """
        self._name = name
        self._truth = truth
        self._protocol = protocol
        self._agreement = agreement
        self._pictures = pictures
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
            row = row.added({"seconds": round(time.perf_counter() - started, 3)})
            views = None if said.views is None else self._truth.comparable(_plain(said.views))
            if views is not None:
                row = row.added(self._of_views(views, said.surface))
            if said.mesh is not None:
                shape = self._compared(said.mesh)
                row = replace(row.added(of_shape(shape)), note=self._why_no_volume(shape.report))
            if self._pictures is not None and seed is not None:
                self._pictures.keep_answer(self._name, seed, views, said.mesh, self._truth.mesh)
        except Exception as error:  # a failure of any kind becomes a row that says so
            row = replace(row, failure=reason_of(error))
        return row

    def _of_views(self, predicted: Views, surface: Surface | None) -> dict[str, float | None]:
        if self._true_views is None or not _same_cameras(predicted.cameras, self._true_views.cameras):
            self._true_views = self._truth.views(predicted.cameras)
        apart = (self.cameras.centres - self._truth.photo.camera.centres).norm(dim=-1)
        photographed = tuple((apart < SAME_PLACE).tolist())
        compared = ViewComparison(predicted, self._true_views, photographed, surface)
        return of_views(compared, agreement=self._agreement)

    def _compared(self, mesh: Mesh) -> ShapeComparison:
        protocol, points = self._protocol.shape, self._true_points
        return ShapeComparison(mesh, self._truth.mesh, protocol, points, lambda: self._is_full)

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
