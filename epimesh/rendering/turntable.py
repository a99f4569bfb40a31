"""A mesh turning before a camera, as a short looping picture: how people look at a result first."""

import io
from collections.abc import Sequence
from math import atan, cos, pi, radians, sin, tan
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from epimesh.cameras import FOV_DEG, Cameras
from epimesh.errors import BadInput
from epimesh.files.meshes import write_whole
from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import Light, RayCaster, shading, surface_color

# Stands still with the camera while the object turns, at its upper left, so that no frame is all shadow. Mostly even,
# as textures hold the light of their photo already. In the first camera's world: x towards it, y to its right.
SOFT = Light(direction=(0.75, -0.45, 0.6), ambient=0.6, diffuse=0.45)
_FILLED = 0.94  # share of the picture's half width that the object may reach at any time of the turn
_SUPERSAMPLE = 2
_SECONDS = 4.0  # of one turn
_SUFFIXES = (".webp", ".gif")


def turntable(
    mesh: Mesh, frames: int = 24, size: int = 384, *, elevation_deg: float = 15.0, reach: float = 0.0
) -> list[Image.Image]:
    """Pictures of one full turn on white, the photo's side first. The last is one step before the first, so it loops.

    Args:
        mesh: around the origin; the camera stands where all of it fits the picture during the whole turn.
        frames: pictures per turn.
        size: pixels along each side.
        elevation_deg: the height of the camera.
        reach: radius of a ball around the origin that the pictures hold too, in scene units, so that meshes which are
            shown with the same one are shown at the same scale.
    """
    cameras = _ring_around(max(reach, reach_of(mesh)), frames, size, elevation_deg)
    left, top, window = _window(mesh, cameras)
    caster, normals = RayCaster(mesh.vertices, mesh.faces), mesh.corner_normals()
    origins, directions = window.resized(window.height * _SUPERSAMPLE, window.width * _SUPERSAMPLE).rays()
    pictures = []
    for index in range(frames):
        # Turning the first camera's rays is several times faster than making every camera's own.
        turn = _about_z(2 * pi * index / frames)
        seen = _picture(mesh, caster, normals, (origins[0] @ turn.T, directions[0] @ turn.T), turn)
        picture = Image.new("RGB", (size, size), "white")
        picture.paste(Image.fromarray(seen), (left, top))
        pictures.append(picture)
    return pictures


def reach_of(mesh: Mesh) -> float:
    """Radius of the ball around the origin that holds a mesh, in scene units; never quite 0."""
    return float(mesh.vertices.norm(dim=-1).max().clamp_min(1e-6))


def _ring_around(reach: float, frames: int, size: int, elevation_deg: float) -> Cameras:
    """Cameras around the z axis, as far away as a ball of radius `reach` around the origin asks for."""
    half_angle = atan(tan(radians(FOV_DEG) / 2) * _FILLED)
    azimuth = torch.arange(frames) * (360.0 / frames)
    elevation = torch.full((frames,), elevation_deg)
    return Cameras.on_sphere(azimuth, elevation, size=size, distance=reach / sin(half_angle))


def _window(mesh: Mesh, cameras: Cameras) -> tuple[int, int, Cameras]:
    """The part of the picture that the mesh ever reaches: left, top, and the first camera for that part alone."""
    pixels, _ = cameras.project(mesh.vertices)
    low = pixels.reshape(-1, 2).amin(0).floor().long() - 1
    high = pixels.reshape(-1, 2).amax(0).ceil().long() + 1
    (left, top), (right, bottom) = low.clamp_min(0).tolist(), high.clamp_max(cameras.width).tolist()
    intrinsics = cameras.intrinsics[:1].clone()
    intrinsics[:, :2, 2] -= torch.tensor([left, top])
    return left, top, Cameras(cameras.world_to_camera[:1], intrinsics, height=bottom - top, width=right - left)


def _about_z(angle: float) -> Float[Tensor, "3 3"]:
    """Turns counter-clockwise seen from above."""
    return torch.tensor([[cos(angle), -sin(angle), 0.0], [sin(angle), cos(angle), 0.0], [0.0, 0.0, 1.0]])


def _picture(
    mesh: Mesh,
    caster: RayCaster,
    normals: Float[Tensor, "F 3 3"],
    rays: tuple[Float[Tensor, "H W 3"], Float[Tensor, "H W 3"]],
    turn: Float[Tensor, "3 3"],
) -> UInt8[np.ndarray, "h w 3"]:
    """What the rays show in the soft light, which turns with the camera; every pixel is the mean of its rays."""
    hits = caster.cast(*rays)
    hit, face, weights = hits.hit, hits.face[hits.hit], hits.barycentric[hits.hit]
    normal = torch.nn.functional.normalize((normals[face] * weights[..., None]).sum(1), dim=-1)
    rgb = torch.ones(*hit.shape, 3)
    rgb[hit] = (surface_color(mesh, face, weights) * shading(normal @ turn, SOFT)[:, None]).clamp(0, 1)
    height, width = (side // _SUPERSAMPLE for side in hit.shape)
    mean = rgb.reshape(height, _SUPERSAMPLE, width, _SUPERSAMPLE * 3).sum(1).reshape(height, width, _SUPERSAMPLE, 3)
    return (mean.sum(2) * (255 / _SUPERSAMPLE**2)).round().to(torch.uint8).numpy()


def write_animation(frames: Sequence[Image.Image], path: Path, *, seconds: float = _SECONDS) -> None:
    """Writes pictures as an animation that loops for ever, whole or not at all.

    Args:
        frames: at least one, all of one size.
        path: ends with .webp (small, true colours) or .gif (256 colours).
        seconds: of one round.

    Raises:
        BadInput: another suffix, no frames, or the file cannot be written.
    """
    kind = path.suffix.lower()
    if kind not in _SUFFIXES or not frames:
        raise BadInput(
            f"Cannot write {len(frames)} frames to {path}.\nExpected at least one, and a name with {_SUFFIXES}."
        )
    buffer = io.BytesIO()
    duration = round(1000 * seconds / len(frames))
    settings = {"quality": 80, "method": 3} if kind == ".webp" else {"optimize": False}
    first, *others = frames
    first.save(buffer, format=kind[1:], save_all=True, append_images=others, duration=duration, loop=0, **settings)
    write_whole({path: buffer.getvalue()})
