"""Views with their cameras as a folder that nerfstudio, gsplat and `epimesh reconstruct` read.

PNG images with transparency and a `transforms.json`: camera-to-world matrices in OpenGL axes (x right, y up, looking
along -z), z up. Depth has 16 bits in steps that the file states, normals are colours; `epimesh.data.posed` reads all.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.errors import BadInput
from epimesh.files.atomic import atomic_file
from epimesh.views import Views, to_picture

FILE = "transforms.json"
OPENGL_AXES = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
ORTHOGRAPHIC = "ORTHOPHOTO"
DEPTH_STEP = 1e-4  # scene units; 16 bits then reach 6.5 units, and rounding stays far below what a pixel spans


def write_transforms(views: Views, folder: Path) -> Path:
    """Writes the views as PNG images with transparency and a `transforms.json`; returns its path.

    Depth and normals, where the views have them, become further PNG images: see `write_depth` and `write_normals`.
    """
    names = [f"{index:03d}" for index in range(len(views))]
    content = camera_entries(views.cameras, [f"{name}.png" for name in names])
    folder.mkdir(parents=True, exist_ok=True)
    for name, rgba in zip(names, torch.cat([views.straight_rgb(), views.alpha], dim=1), strict=True):
        to_picture(rgba).save(folder / f"{name}.png")
    if views.depth is not None:
        content["depth_unit_scale_factor"] = DEPTH_STEP
        for name, depth, entry in zip(names, views.depth, content["frames"], strict=True):
            entry["depth_file_path"] = f"{name}_depth.png"
            write_depth(depth, folder / entry["depth_file_path"])
    if views.normals is not None:
        for name, normals, entry in zip(names, views.normals, content["frames"], strict=True):
            entry["normal_file_path"] = f"{name}_normal.png"
            write_normals(normals, folder / entry["normal_file_path"])
    with atomic_file(folder / FILE) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return folder / FILE


def camera_entries(cameras: Cameras, names: list[str]) -> dict[str, Any]:
    """What `transforms.json` says of these cameras, whose images are called `names`."""
    poses = torch.linalg.inv(cameras.world_to_camera.double()) @ OPENGL_AXES.double()
    frames = []
    for name, pose, intrinsics in zip(names, poses, cameras.intrinsics, strict=True):
        focal = {"fl_x": float(intrinsics[0, 0]), "fl_y": float(intrinsics[1, 1])}
        centre = {"cx": float(intrinsics[0, 2]), "cy": float(intrinsics[1, 2])}
        frames.append({"file_path": name, **focal, **centre, "transform_matrix": pose.tolist()})
    model = ORTHOGRAPHIC if cameras.orthographic else "PINHOLE"
    return {"camera_model": model, "w": cameras.width, "h": cameras.height, "frames": frames}


def write_depth(depth: Float[Tensor, "H W"], path: Path) -> None:
    """Writes camera z, in scene units; infinite where it is not known.

    Raises:
        BadInput: a known depth that 16 bits cannot hold.
    """
    known = depth.isfinite()
    steps = (torch.where(known, depth, 0.0) / DEPTH_STEP).round()
    if (steps[known] < 1).any() or (steps > np.iinfo(np.uint16).max).any():
        raise BadInput(
            f"Depth from {float(depth[known].min()):g} to {float(depth[known].max()):g} cannot be written as 16 bits.\n"
            f"Expected camera z from {DEPTH_STEP:g} to {np.iinfo(np.uint16).max * DEPTH_STEP:g} scene units."
        )
    Image.fromarray(steps.to(torch.int32).numpy().astype(np.uint16)).save(path, format="PNG")


def write_normals(normals: Float[Tensor, "3 H W"], path: Path) -> None:
    """Writes unit normals in the world; zero where they are not known."""
    known = (normals.norm(dim=0, keepdim=True) > 0.5).float()
    rgba = torch.cat([(normals + 1) / 2 * known, known])
    Image.fromarray((rgba * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()).save(path, format="PNG")
