"""A mesh turning before a camera, as a short looping picture: how people look at a result first."""

import io
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from epimesh.cameras import Cameras
from epimesh.errors import BadInput
from epimesh.mesh import Mesh
from epimesh.mesh_files import write_whole
from epimesh.rendering import Light, render_mesh

# From above and the side, so that the shape is visible; mostly even, as textures hold the light of their photo already.
SOFT = Light(direction=(0.5, 0.35, 0.8), ambient=0.72, diffuse=0.34)
_SECONDS = 4.0  # of one turn
_SUFFIXES = (".webp", ".gif")


def turntable(mesh: Mesh, frames: int = 24, size: int = 384, *, elevation_deg: float = 15.0) -> list[Image.Image]:
    """Pictures of one full turn on white, the photo's side first. The last is one step before the first, so it loops.

    Args:
        mesh: at the origin, longest side 1.
        frames: pictures per turn.
        size: pixels along each side.
        elevation_deg: the height of the camera.
    """
    cameras = Cameras.ring(frames, size=size, elevation_deg=elevation_deg)
    views = render_mesh(mesh, cameras, light=SOFT)
    pixels = (views.rgb.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(picture) for picture in pixels]


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
