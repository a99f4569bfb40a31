"""What the stages take at one point of a curve, or photo after photo: measured in the process that calls it."""

import contextlib
import ctypes
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch

from epimesh.cameras import Cameras
from epimesh.data.objects import read_manifest
from epimesh.data.posed.posed_views import read_posed_views
from epimesh.evaluation.ground_truth.truth_object import truth_object
from epimesh.files.posed_set import write_transforms
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.pipeline.process_memory import held_bytes, peak_bytes, reset_peak
from epimesh.pipeline.session import Session
from epimesh.reconstruction import MarchingCubes, NeuS, VisualHull
from epimesh.runtime import Runtime
from epimesh.stages import BakeTexture
from epimesh.views import Views

T = TypeVar("T")
RUNTIME = Runtime("cpu")
FINEST_READ = 2048  # pixels: `--longest-side` of the readings; the command line reduces to 1024 by default


class Cost(NamedTuple):
    """CPU and wall seconds; bytes on top of what the process held before; bytes of the whole process at its peak."""

    cpu: float
    wall: float
    extra: int
    peak: int


@dataclass(frozen=True)
class Point:
    """One point of a curve.

    Args:
        views: how many there are, at equal steps all around.
        pixels: of each side of theirs.
        grid: cells along each side of hull and NeuS.
        faces: that the mesh has.
        stages: which of read, hull, NeuS, mesh and texture are told; others run where these need them. Without NeuS the
            mesh is that of the hull.
    """

    views: int = 16
    pixels: int = 256
    grid: int = 128
    faces: int = 20_000
    stages: tuple[str, ...] = ("read", "hull", "NeuS", "texture")

    def folder(self, root: Path) -> Path:
        """Where its views are."""
        return root / f"views-{self.views}-{self.pixels}"


WARM_UP = Point(3, 64, 32, 500)


def render(points: Sequence[Point], objects: Path, split: str, name: str, root: Path) -> None:
    """Writes the views of all points, as `epimesh reconstruct` reads them. Those that are there stay."""
    (record,) = [record for record in read_manifest(objects, split) if record.id == name]
    for point in [WARM_UP, *points]:
        if (point.folder(root) / "transforms.json").is_file():
            continue
        truth = truth_object(record, elevation_deg=30.0, size=point.pixels, threads=1)
        views = truth.views(Cameras.ring(point.views, size=point.pixels), threads=1)
        write_transforms(replace(views, normals=None, depth=None), point.folder(root))


def costs_of(point: Point, root: Path) -> dict[str, Cost]:
    """Every stage once, after all of them ran on next to nothing: that compiles and loads what they need."""
    _stages(replace(WARM_UP, stages=point.stages), root)
    return _stages(point, root)


def _stages(point: Point, root: Path) -> dict[str, Cost]:
    found: dict[str, Cost] = {}

    def measured(stage: str, work: Callable[[], T]) -> T:
        made, found[stage] = _cost(work)
        return made

    views: Views = measured("read", lambda: read_posed_views(point.folder(root), longest_side=FINEST_READ))
    meshed, fitted = {"mesh", "texture"} & {*point.stages}, "NeuS" in point.stages
    if "hull" in point.stages or (meshed and not fitted):
        surface = measured("hull", lambda: VisualHull(resolution=point.grid)(views, None, runtime=RUNTIME))
    if fitted:
        surface = measured("NeuS", lambda: NeuS(resolution=point.grid)(views, None, runtime=RUNTIME))
    if meshed:
        mesh = measured("mesh", lambda: MarchingCubes(faces=point.faces)(surface, runtime=RUNTIME))
    if "texture" in point.stages:
        measured("texture", lambda: BakeTexture()(mesh, views, None, runtime=RUNTIME))
    return {stage: found[stage] for stage in point.stages}


def _cost(work: Callable[[], T]) -> tuple[T, Cost]:
    _give_back_what_is_free()
    reset_peak()
    held, cpu, wall = held_bytes("cpu"), time.process_time(), time.perf_counter()
    made = work()
    cpu, wall, peak = time.process_time() - cpu, time.perf_counter() - wall, peak_bytes()
    return made, Cost(cpu, wall, max(0, peak - held), peak)


def _give_back_what_is_free() -> None:
    """Else a stage would be given what earlier ones have freed, and seem to take nothing."""
    with contextlib.suppress(OSError, AttributeError):  # other systems than Linux with glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)


class PhotoCost(NamedTuple):
    """Of one photo: CPU and wall seconds, bytes at its peak, and bytes that the process still holds afterwards."""

    cpu: float
    wall: float
    peak: int
    held: int


def photo_costs(photos: Sequence[Path], preset: str, root: Path) -> Iterator[PhotoCost]:
    """One photo after the other with one pipeline, as a program would that has many."""
    pipeline = ImageTo3D.from_preset(preset)
    for index, photo in enumerate(photos):
        cpu, wall = time.process_time(), time.perf_counter()
        report = Session(root / f"{index}-{photo.stem}", RUNTIME).photo_to_mesh(pipeline, photo, redo_from="read")
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        yield PhotoCost(cpu, wall, report["peak_bytes"], held_bytes("cpu"))


def on_one_thread() -> None:
    """Keeps this process, whatever libraries it uses, on one core where the system allows that."""
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[os.getpid() % len(cores)]})


def written(point: Point) -> str:
    """A point as text."""
    return json.dumps(asdict(point))


def read(text: str) -> Point:
    """A point that was written."""
    given = json.loads(text)
    return Point(**given | {"stages": tuple(given["stages"])})
