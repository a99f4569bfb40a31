"""Draws what runs have made, a row each: the photo, the mesh from six sides, and twice bare.

python scripts/draw_results.py OUT.jpg runs/bird runs/fox
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.files.images import read_picture
from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import Light, render_mesh
from epimesh.views import to_picture

SIZE = 160
AZIMUTHS_DEG = (0.0, 60.0, 120.0, 180.0, 240.0, 300.0)
BARE_DEG = (60.0, 240.0)


def row(run: Path) -> Float[Tensor, "3 h w"]:
    """One run, from left to right."""
    cutout = read_picture(run / "cutout.png", longest_side=512)
    assert cutout.alpha is not None
    photo = cutout.rgb * cutout.alpha + 1 - cutout.alpha
    mesh = Mesh.load(next(run.glob("*-texture-*")))
    pictures = [photo[None]]
    pictures += [drawn(mesh, azimuth, Light()) for azimuth in AZIMUTHS_DEG]
    pictures += [drawn(bare(mesh), azimuth, Light()) for azimuth in BARE_DEG]
    sized = [F.interpolate(picture, (SIZE, SIZE), mode="bilinear", antialias=True)[0] for picture in pictures]
    return torch.cat(sized, dim=2).clamp(0, 1)


def drawn(mesh: Mesh, azimuth_deg: float, light: Light) -> Float[Tensor, "1 3 h w"]:
    """The mesh from one side."""
    camera = Cameras.on_sphere(torch.tensor([azimuth_deg]), torch.tensor([20.0]), size=2 * SIZE)
    return render_mesh(mesh, camera, light=light).rgb


def bare(mesh: Mesh) -> Mesh:
    """The mesh in grey."""
    assert mesh.texture is not None
    return replace(mesh, texture=torch.full_like(mesh.texture, 0.7))


def main() -> None:
    """Draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    given = parser.parse_args()
    rows = [row(run) for run in given.runs]
    to_picture(torch.cat(rows, dim=1)).convert("RGB").save(given.out, quality=88)


if __name__ == "__main__":
    main()
