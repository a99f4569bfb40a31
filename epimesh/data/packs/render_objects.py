"""Renders objects into packs of training views: quickly, in many processes, and resumable."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import RING, Cameras
from epimesh.data.objects import ObjectRecord, load_object
from epimesh.data.packs.view_pack import AZIMUTH_STEP_DEG, EXTRA, ViewPack
from epimesh.errors import BadInput, EpimeshError
from epimesh.mesh import Mesh
from epimesh.rendering.rasterize import rasterize
from epimesh.rendering.ray_casting import Light

MARGIN_PIXELS = 2  # at 128 pixels, between the object and the frame
ELEVATION_RANGE_DEG = (-10.0, 40.0)


@dataclass(frozen=True)
class RenderSettings:
    """How packs are rendered.

    Args:
        size: pixels per side.
        supersample: rays per pixel and side.
        vary: random yaw, scale and light, as training wants it; else the object as it is in a standard light.
        seed: of all random choices, together with the name of the object.
    """

    size: int = 128
    supersample: int = 2
    vary: bool = True
    seed: int = 0


def random_numbers(settings: RenderSettings, name: str) -> np.random.Generator:
    """The stream of random numbers of one object, the same in every process."""
    digest = hashlib.sha256(f"{settings.seed}:{name}".encode()).digest()
    return np.random.default_rng(list(digest[:16]))


def render_pack(mesh: Mesh, record: ObjectRecord, settings: RenderSettings) -> ViewPack:
    """All views of one object."""
    return drawn_pack(mesh, record, settings)[0]


def drawn_pack(mesh: Mesh, record: ObjectRecord, settings: RenderSettings) -> tuple[ViewPack, Float[Tensor, "V H W"]]:
    """All views of one object, and their depth in scene units, infinite where nothing is."""
    random = random_numbers(settings, record.id)
    azimuth_index = torch.from_numpy(np.concatenate([np.arange(RING), random.integers(0, RING, EXTRA)]))
    elevation = np.concatenate([np.full(RING, 30.0), random.uniform(*ELEVATION_RANGE_DEG, EXTRA)])
    elevation_deg = torch.from_numpy(elevation.astype(np.float32))
    cameras = Cameras.on_sphere(azimuth_index.float() * AZIMUTH_STEP_DEG, elevation_deg, size=settings.size)

    mesh = turned(mesh, random.uniform(0, 2 * np.pi)) if settings.vary else mesh
    scale = fitting_scale(mesh.vertices, cameras)
    scale *= random.uniform(0.8, 1.0) if settings.vary else 1.0
    light = random_light(random) if settings.vary else Light()
    drawn = rasterize(replace(mesh, vertices=mesh.vertices * scale), cameras, light, settings.supersample)
    pack = ViewPack(
        rgba=drawn.rgba,
        azimuth_index=azimuth_index,
        elevation_deg=elevation_deg,
        id=record.id,
        family=record.family,
        split=record.split,
        realistic=record.realistic,
        licence=record.licence,
        scale=float(scale),
    )
    return pack, drawn.depth


def turned(mesh: Mesh, angle: float) -> Mesh:
    """The mesh turned about z by `angle` radians, counter-clockwise from above."""
    cosine, sine = float(np.cos(angle)), float(np.sin(angle))
    rotation = torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return replace(mesh, vertices=mesh.vertices @ rotation.T)


def fitting_scale(vertices: Float[Tensor, "N 3"], cameras: Cameras) -> float:
    """The largest factor up to 1 by which the object may be scaled so that every view shows it whole."""
    low, high = 0.0, 1.0
    margin = MARGIN_PIXELS * cameras.width / 128
    for attempt in range(12):
        scale = 1.0 if attempt == 0 else (low + high) / 2
        pixels, depth = cameras.project(vertices * scale)
        inside = bool(((pixels >= margin) & (pixels <= cameras.width - margin)).all() and (depth > 0).all())
        low, high = (scale, high) if inside else (low, scale)
        if inside and attempt == 0:
            return 1.0
    return low


def random_light(random: np.random.Generator) -> Light:
    """A light from above at a random side, bright enough to show the colours."""
    azimuth, elevation, ambient = random.uniform(0, 2 * np.pi), random.uniform(0.5, 1.4), random.uniform(0.5, 0.85)
    direction = (np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation))
    x, y, z = (float(value) for value in direction)
    return Light((x, y, z), float(ambient), float(min(1.05 - ambient, 0.5)))


@dataclass(frozen=True)
class RenderJob:
    """One object to render: what it is, where its pack goes, and how its mesh is made."""

    record: ObjectRecord
    out: Path
    settings: RenderSettings
    load: Callable[[ObjectRecord], Mesh]


def load_recorded(record: ObjectRecord) -> Mesh:
    """The mesh of a manifest's object."""
    return load_object(record.path)


def render_all(jobs: Iterable[RenderJob], processes: int) -> Iterator[tuple[str, str | None]]:
    """Renders every object whose pack is not there yet; yields its name and, where it failed, the reason."""
    waiting = [job for job in jobs if not _pack_path(job).is_file()]
    for job in waiting[:1]:
        job.out.mkdir(parents=True, exist_ok=True)
    if processes <= 1:
        yield from map(_render_one, waiting)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        yield from pool.map(_render_one, waiting, chunksize=4)


def _one_thread() -> None:
    torch.set_num_threads(1)


def _pack_path(job: RenderJob) -> Path:
    return job.out / f"{job.record.id}.safetensors"


def _render_one(job: RenderJob) -> tuple[str, str | None]:
    try:
        render_pack(job.load(job.record), job.record, job.settings).save(_pack_path(job))
    except BadInput as error:
        return job.record.id, " ".join(str(error).split())
    except (EpimeshError, OSError):  # a missing renderer or a full disk concerns all objects
        raise
    except Exception as error:  # one file that breaks a library must not end the work on all others
        return job.record.id, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return job.record.id, None
