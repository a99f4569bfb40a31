"""Renders objects into packs of training views: quickly, in many processes, and resumable."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.data.objects import ObjectRecord, load_object
from epimesh.data.view_pack import AZIMUTH_STEP_DEG, EXTRA, RING, ViewPack
from epimesh.errors import BadInput
from epimesh.mesh import Mesh
from epimesh.rendering import Hits, Light, RayCaster, shading

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
    random = random_numbers(settings, record.id)
    azimuth_index = torch.from_numpy(np.concatenate([np.arange(RING), random.integers(0, RING, EXTRA)]))
    elevation = np.concatenate([np.full(RING, 30.0), random.uniform(*ELEVATION_RANGE_DEG, EXTRA)])
    elevation_deg = torch.from_numpy(elevation.astype(np.float32))
    cameras = Cameras.on_sphere(azimuth_index.float() * AZIMUTH_STEP_DEG, elevation_deg, size=settings.size)

    mesh = turned(mesh, random.uniform(0, 2 * np.pi)) if settings.vary else mesh
    scale = fitting_scale(mesh.vertices, cameras)
    scale *= random.uniform(0.8, 1.0) if settings.vary else 1.0
    light = random_light(random) if settings.vary else Light()
    rgba = render_quickly(replace(mesh, vertices=mesh.vertices * scale), cameras, light, settings.supersample)
    return ViewPack(
        rgba=rgba,
        azimuth_index=azimuth_index,
        elevation_deg=elevation_deg,
        id=record.id,
        family=record.family,
        split=record.split,
        realistic=record.realistic,
        licence=record.licence,
        scale=float(scale),
    )


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


def render_quickly(mesh: Mesh, cameras: Cameras, light: Light, supersample: int) -> UInt8[Tensor, "V 4 H W"]:
    """Premultiplied 8-bit views with the nearest texel. As `render_mesh`, but several times faster."""
    caster = RayCaster(mesh.vertices, mesh.faces, threads=1)
    normals = mesh.corner_normals()
    finer = cameras.resized(cameras.height * supersample, cameras.width * supersample)
    directions = _camera_directions(finer.height, finer.width, float(finer.intrinsics[0, 0, 0]))
    views = torch.zeros(len(cameras), cameras.height, cameras.width, 4)
    for view, (rows, columns) in enumerate(_frames_around(mesh.vertices, cameras)):
        fine_rows, fine_columns = (slice(part.start * supersample, part.stop * supersample) for part in (rows, columns))
        rays = directions[fine_rows, fine_columns] @ cameras.world_to_camera[view, :3, :3]
        hits = caster.cast(cameras.centres[view].expand_as(rays), rays)
        image = _shaded(mesh, normals, hits, rays, light)
        shape = (rows.stop - rows.start, supersample, columns.stop - columns.start, supersample, 4)
        views[view, rows, columns] = image.reshape(shape).mean((1, 3))
    return (views.permute(0, 3, 1, 2) * 255).round().to(torch.uint8)


def _frames_around(vertices: Float[Tensor, "N 3"], cameras: Cameras) -> list[tuple[slice, slice]]:
    """Rows and columns of each image that can show the object; elsewhere no ray needs to be cast."""
    pixels, depth = cameras.project(vertices)
    if not bool((depth > 0).all()):
        return [(slice(0, cameras.height), slice(0, cameras.width))] * len(cameras)
    limit = pixels.new_tensor([cameras.width, cameras.height])
    low = pixels.amin(0).floor().clamp_min(0).minimum(limit - 1).int().tolist()
    high = pixels.amax(0).ceil().minimum(limit).clamp_min(1).int().tolist()
    return [(slice(top, bottom), slice(left, right)) for (left, top), (right, bottom) in zip(low, high, strict=True)]


def _shaded(
    mesh: Mesh, normals: Float[Tensor, "F 3 3"], hits: Hits, rays: Float[Tensor, "H W 3"], light: Light
) -> Float[Tensor, "H W 4"]:
    """Colour and coverage of every ray, both sides of a surface lit alike."""
    hit = hits.hit
    face, weights = hits.face[hit], hits.barycentric[hit]
    normal = torch.nn.functional.normalize(torch.einsum("nk,nkc->nc", weights, normals[face]), dim=-1)
    facing = -(normal * rays[hit]).sum(-1, keepdim=True).sign()
    color = _nearest_color(mesh, mesh.faces[face], weights) * shading(normal * facing, light)[:, None]
    image = torch.zeros(*hit.shape, 4)
    image[hit] = torch.cat([color.clamp(0, 1), torch.ones(len(face), 1)], dim=-1)
    return image


@cache
def _camera_directions(height: int, width: int, focal: float) -> Float[Tensor, "H W 3"]:
    """Unit ray directions in the frame of a camera whose optical axis meets the image centre."""
    u = (torch.arange(width) + 0.5 - width / 2) / focal
    v = (torch.arange(height) + 0.5 - height / 2) / focal
    grid = torch.stack(torch.meshgrid(u, v, indexing="xy"), dim=-1)
    return torch.nn.functional.normalize(torch.cat([grid, torch.ones(height, width, 1)], dim=-1), dim=-1)


def _nearest_color(mesh: Mesh, corners: Tensor, weights: Tensor) -> Float[Tensor, "N 3"]:
    if mesh.texture is not None and mesh.uv is not None:
        uv = torch.einsum("nk,nkc->nc", weights, mesh.uv[corners])
        _, height, width = mesh.texture.shape
        x, y = (uv * uv.new_tensor([width, height])).floor().long().unbind(-1)
        return mesh.texture[:, y % height, x % width].T
    if mesh.vertex_rgb is not None:
        return torch.einsum("nk,nkc->nc", weights, mesh.vertex_rgb[corners])
    return torch.full((len(corners), 3), 0.8)


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
        return job.record.id, str(error)
    return job.record.id, None
