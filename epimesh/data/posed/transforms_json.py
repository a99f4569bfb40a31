"""The cameras of a `transforms.json`, as nerfstudio, instant-ngp and Blender's NeRF scenes write them.

There a camera looks along -z with y up (OpenGL) and is stored as camera-to-world; here it looks along +z with y down
and is stored as world-to-camera. The world is z up in both. An orthographic camera is nerfstudio's ORTHOPHOTO, whose
focal lengths are pixels per unit of length.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.errors import BadInput

FILE = "transforms.json"

_OPENGL_AXES = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
_SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".webp")
_PINHOLES = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE")
_ORTHOGRAPHIC = "ORTHOPHOTO"
_NUMBERS = ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x", "depth_unit_scale_factor")
_DISTORTIONS = ("k1", "k2", "k3", "k4", "p1", "p2")
_SMALLEST_DISTORTION = 1e-6


@dataclass(frozen=True)
class Frame:
    """One image of a `transforms.json`.

    Args:
        image: the image file.
        mask: file of the object's mask, or None.
        camera_to_world: OpenGL axes, as in the file.
        numbers: fl_x, fl_y, cx, cy, w, h, camera_angle_x, depth_unit_scale_factor: the frame's own, or those of the
            whole file.
        depth: file of the depth, or None.
        normals: file of the normals, or None.
        orthographic: focal lengths are pixels per unit of length, not pixels.
    """

    image: Path
    mask: Path | None
    camera_to_world: Float[Tensor, "4 4"]
    numbers: dict[str, float]
    depth: Path | None = None
    normals: Path | None = None
    orthographic: bool = False

    def size(self) -> tuple[int, int] | None:
        """Width and height that the file states, or None."""
        if "w" in self.numbers and "h" in self.numbers:
            return int(self.numbers["w"]), int(self.numbers["h"])
        return None

    def camera(self, width: int, height: int) -> Cameras:
        """The camera of this frame, for an image of this size."""
        numbers = self.numbers
        if "fl_x" in numbers:
            focal_x = numbers["fl_x"]
        elif "camera_angle_x" in numbers and not self.orthographic:
            focal_x = width / 2 / math.tan(numbers["camera_angle_x"] / 2)
        else:
            raise BadInput(
                f"The focal length of {self.image.name} is not stated.\n"
                "Expected fl_x (pixels) or camera_angle_x (radians)."
            )
        focal_y = numbers.get("fl_y", focal_x)
        centre = (numbers.get("cx", width / 2), numbers.get("cy", height / 2))
        intrinsics = torch.tensor([[focal_x, 0, centre[0]], [0, focal_y, centre[1]], [0, 0, 1]], dtype=torch.float32)
        world_to_camera = torch.linalg.inv(self.camera_to_world.double() @ _OPENGL_AXES.double()).float()
        return Cameras(world_to_camera[None], intrinsics[None], height, width, self.orthographic)


def read_frames(folder: Path) -> list[Frame]:
    """The frames of `folder/transforms.json`, checked, in the order of the file.

    Raises:
        BadInput: not such a file, missing images, impossible or distorted cameras; the message says which.
    """
    path = folder / FILE
    try:
        content = json.loads(path.read_text())
        frames = [_frame(folder, entry, content) for entry in content["frames"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"{path} cannot be read as cameras ({type(error).__name__}: {error}).\n"
            "Expected the JSON of nerfstudio or Blender's NeRF scenes: frames with file_path and transform_matrix."
        ) from error
    missing = [str(frame.image) for frame in frames if not frame.image.is_file()]
    missing += [str(frame.mask) for frame in frames if frame.mask is not None and not frame.mask.is_file()]
    if missing:
        raise BadInput(
            f"{len(missing)} of the files named in {path} are missing, the first is {missing[0]}.\n"
            "Paths are relative to the folder of transforms.json: put the images there or correct file_path."
        )
    if len(frames) < 2:
        raise BadInput(
            f"{path} has {len(frames)} frame(s), expected at least 2 views from different sides.\n"
            "For a single photo use: epimesh run PHOTO"
        )
    return frames


def _frame(folder: Path, entry: dict[str, Any], shared: dict[str, Any]) -> Frame:
    name = entry["file_path"]
    _refuse_distortion(name, {**shared, **entry})
    matrix = torch.tensor(entry["transform_matrix"], dtype=torch.float32)
    _check_matrix(name, matrix)
    stated = {**shared, **entry}
    numbers = {key: float(stated[key]) for key in _NUMBERS if stated.get(key) is not None}
    unusable = [key for key, value in numbers.items() if not math.isfinite(value) or value <= 0]
    if unusable:
        raise BadInput(f"{', '.join(unusable)} of frame {name} is not a positive number.\nCorrect {FILE}.")
    candidates = [folder / (name + suffix) for suffix in _SUFFIXES]
    image = next((path for path in candidates if path.is_file()), candidates[0])
    mask, depth, normals = (
        folder / entry[key] if entry.get(key) else None for key in ("mask_path", "depth_file_path", "normal_file_path")
    )
    return Frame(image, mask, matrix, numbers, depth, normals, stated.get("camera_model") == _ORTHOGRAPHIC)


def _refuse_distortion(name: str, numbers: dict[str, Any]) -> None:
    model = numbers.get("camera_model", "PINHOLE")
    bent = [key for key in _DISTORTIONS if abs(float(numbers.get(key) or 0)) > _SMALLEST_DISTORTION]
    if model not in (*_PINHOLES, _ORTHOGRAPHIC) or bent:
        found = f"lens distortion ({', '.join(bent)})" if bent else f"the camera model {model}"
        raise BadInput(
            f"Frame {name} has {found}, expected a plain pinhole camera, or {_ORTHOGRAPHIC}.\n"
            "Undistort the images first, e.g. with: colmap image_undistorter"
        )


def _check_matrix(name: str, matrix: Tensor) -> None:
    if matrix.shape != (4, 4) or not matrix.isfinite().all():
        raise BadInput(f"The transform_matrix of frame {name} is not 4 x 4 finite numbers.\nWrite {FILE} anew.")
    rotation = matrix[:3, :3]
    off = float((rotation @ rotation.T - torch.eye(3)).abs().max())
    if off > 1e-2 or float(torch.det(rotation)) < 0:
        raise BadInput(
            f"The transform_matrix of frame {name} does not hold a rotation (its columns are off by {off:.2g}, "
            f"determinant {float(torch.det(rotation)):.2f}).\nExpected camera-to-world without scale or mirroring."
        )


def camera_entries(cameras: Cameras, names: list[str]) -> dict[str, Any]:
    """What `transforms.json` says of these cameras, whose images are called `names`."""
    poses = torch.linalg.inv(cameras.world_to_camera.double()) @ _OPENGL_AXES.double()
    frames = []
    for name, pose, intrinsics in zip(names, poses, cameras.intrinsics, strict=True):
        focal = {"fl_x": float(intrinsics[0, 0]), "fl_y": float(intrinsics[1, 1])}
        centre = {"cx": float(intrinsics[0, 2]), "cy": float(intrinsics[1, 2])}
        frames.append({"file_path": name, **focal, **centre, "transform_matrix": pose.tolist()})
    model = _ORTHOGRAPHIC if cameras.orthographic else "PINHOLE"
    return {"camera_model": model, "w": cameras.width, "h": cameras.height, "frames": frames}
