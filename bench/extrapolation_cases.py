"""The test objects of the extrapolation measurements, and what a preset makes of their photos."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from epimesh.cameras import Cameras
from epimesh.data.objects import read_manifest
from epimesh.evaluation.ground_truth.truth_object import TruthObject, truth_object
from epimesh.evaluation.metrics.images import ImageScores, compare_views, mean_scores
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.runtime import Runtime
from epimesh.surface import GridSurface, Surface
from epimesh.views import Views

SIZE = 128


@dataclass(frozen=True, eq=False)
class Case:
    """One object: the truth, and what a preset's stages made of its photo."""

    name: str
    truth: TruthObject
    views: Views
    surface: GridSurface


def truths(objects: Path, count: int) -> Iterator[tuple[str, TruthObject]]:
    """The first test objects, in the manifest's order, spread over it."""
    records = read_manifest(objects, "test")
    for record in records[:: max(1, len(records) // count)][:count]:
        yield record.id, truth_object(record, elevation_deg=20.0, size=256, threads=1)


def case(name: str, truth: TruthObject, preset: str, seed: int) -> Case:
    """Photo, views and surface of an object."""
    pipeline, runtime = ImageTo3D.from_preset(preset), Runtime("cpu", seed)
    views = pipeline.decode(pipeline.views(truth.photo, runtime=runtime), runtime=runtime)
    surface = pipeline.reconstruct(views, truth.photo, runtime=runtime)
    assert isinstance(surface, GridSurface)
    return Case(name, truth, views, surface)


def unseen(truth: TruthObject) -> Views:
    """True views between those of the ring and from other heights: nothing was fitted to them."""
    azimuth = torch.arange(8) * 45.0 + 11.25
    cameras = Cameras.on_sphere(azimuth, torch.tensor([10.0, 45.0]).repeat(4), size=SIZE)
    return truth.views(cameras, threads=1)


def scores(surface: Surface, truth: Views) -> ImageScores:
    """Mean over the views."""
    return mean_scores(compare_views(surface.render(truth.cameras), truth))


def photo_psnr(surface: Surface, truth: TruthObject) -> float:
    """Of the object's pixels in the photo's own view, in dB."""
    own = truth.photo.camera.resized(SIZE, SIZE)
    return scores(surface, truth.views(own, threads=1)).object_psnr
