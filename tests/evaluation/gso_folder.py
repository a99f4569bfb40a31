"""A tiny folder in the layout of the scanned objects: renders of a box, with a mesh in a frame of its own."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from known_shapes import box
from PIL import Image

from epimesh.cameras import Cameras
from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import Light, render_mesh

SIZE = 32
SHAPE = box(0.4, 0.8, 0.5)
TURN = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # a quarter turn about z
SCALE, SHIFT = 5.0, torch.tensor([0.1, 0.0, -0.2])


def write_gso(folder: Path, *names: str, size: int = SIZE) -> Path:
    """Objects of these names, all alike."""
    folder.mkdir()
    cameras = Cameras.ring(size=size)
    (folder / "cameras.json").write_text(
        json.dumps(
            {
                "image_size": [size, size],
                "K": cameras.intrinsics[0].tolist(),
                "world_to_camera": cameras.world_to_camera[:, :3].tolist(),
                "elevation_deg": 30.0,
            }
        )
    )
    matrix = torch.eye(4)
    matrix[:3, :3], matrix[:3, 3] = SCALE * TURN, SHIFT
    (folder / "alignment.json").write_text(json.dumps({name: {"matrix": matrix.tolist()} for name in names}))
    shown = render_mesh(coloured(), cameras, light=Light(), threads=1)
    straight = (shown.rgb - 1 + shown.alpha) / shown.alpha.clamp_min(1e-4)
    rgba = (torch.cat([straight, shown.alpha], dim=1).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    for name in names:
        (folder / name).mkdir()
        for view, picture in enumerate(rgba):
            Image.fromarray(np.ascontiguousarray(picture), "RGBA").save(folder / name / f"{view:03d}.png")
        own = (SHAPE.vertices - SHIFT) @ TURN / SCALE
        lines = [f"v {x} {y} {z}" for x, y, z in own.tolist()]
        lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in SHAPE.faces.tolist()]
        (folder / name / "model.obj").write_text("\n".join(lines) + "\n")
    return folder


def coloured() -> Mesh:
    """The box with a colour at every corner."""
    return replace(SHAPE, vertex_rgb=(SHAPE.vertices + 0.5).clamp(0, 1))
