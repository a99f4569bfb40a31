"""The cameras of a `transforms.json`, as nerfstudio, instant-ngp and Blender's NeRF scenes write them.

There a camera looks along -z with y up (OpenGL) and is stored as camera-to-world; here it looks along +z with y down
and is stored as world-to-camera. The world is z up in both. An orthographic camera is nerfstudio's ORTHOPHOTO, whose
focal lengths are pixels per unit of length.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.data.json_text import read_json
from epimesh.data.posed.lens import Lens
from epimesh.data.posed.named_files import NamedFiles
from epimesh.errors import BadInput
from epimesh.files.posed_set import FILE, OPENGL_AXES, ORTHOGRAPHIC
from epimesh.runtime import Reporter, Silent

_TRAINING = "transforms_train.json"  # Blender's NeRF scenes split their frames over several files

_PINHOLES = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE")
_FISHEYE = "OPENCV_FISHEYE"
_NUMBERS = ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x", "camera_angle_y", "depth_unit_scale_factor")
_RADIAL, _TANGENTIAL = ("k1", "k2", "k3", "k4"), ("p1", "p2")
_SMALLEST_DISTORTION = 1e-6
_LONGEST_NAME = 1000  # characters
_MOST_FRAMES = 20_000


@dataclass(frozen=True)
class Frame:
    """One image of a `transforms.json`.

    Args:
        image: the image file.
        mask: file of the object's mask, or None.
        camera_to_world: OpenGL axes, as in the file, in double precision: coordinates may be those of a map.
        numbers: fl_x, fl_y, cx, cy, w, h, camera_angle_x, camera_angle_y, depth_unit_scale_factor: the frame's own, or
            those of the whole file.
        depth: file of the depth, or None.
        normals: file of the normals, or None.
        orthographic: focal lengths are pixels per unit of length, not pixels.
        lens: what bends the picture, or None.
    """

    image: Path
    mask: Path | None
    camera_to_world: Float[Tensor, "4 4"]
    numbers: dict[str, float]
    depth: Path | None = None
    normals: Path | None = None
    orthographic: bool = False
    lens: Lens | None = None

    def size(self) -> tuple[int, int] | None:
        """Width and height that the file states, or None."""
        if "w" in self.numbers and "h" in self.numbers:
            return int(self.numbers["w"]), int(self.numbers["h"])
        return None

    def in_unstated_pixels(self) -> bool:
        """True if focal lengths are in pixels of an image whose size is not stated."""
        return self.size() is None and any(key in self.numbers for key in ("fl_x", "fl_y"))

    def camera(self, width: int, height: int, origin: Float[Tensor, "3"] | None = None) -> Cameras:
        """The camera of this frame, for an image of this size, in single precision around `origin`."""
        focal_x, focal_y = self._focal_lengths(width, height)
        centre = (self.numbers.get("cx", width / 2), self.numbers.get("cy", height / 2))
        intrinsics = torch.tensor([[focal_x, 0, centre[0]], [0, focal_y, centre[1]], [0, 0, 1]], dtype=torch.float32)
        pose = self.camera_to_world.double().clone()
        if origin is not None:
            pose[:3, 3] -= origin
        world_to_camera = torch.linalg.inv(pose @ OPENGL_AXES.double()).float()
        return Cameras(world_to_camera[None], intrinsics[None], height, width, self.orthographic)

    def _focal_lengths(self, width: int, height: int) -> tuple[float, float]:
        """Along x and y in pixels; what only one of them states holds for both."""
        along_x, along_y = self._focal_length("x", width), self._focal_length("y", height)
        found = along_x or along_y
        if found is None:
            raise BadInput(
                f"The focal length of {self.image.name} is not stated.\n"
                "Expected fl_x (pixels) or camera_angle_x (radians)."
            )
        return along_x or found, along_y or found

    def _focal_length(self, axis: str, side: int) -> float | None:
        if f"fl_{axis}" in self.numbers:
            return self.numbers[f"fl_{axis}"]
        angle = self.numbers.get(f"camera_angle_{axis}")
        return None if angle is None or self.orthographic else side / 2 / math.tan(angle / 2)


def cameras_file(path: Path) -> Path:
    """The file of cameras that is meant: `path` itself, or the one in this folder.

    Raises:
        BadInput: there is none.
    """
    if path.is_file():
        return path
    for name in (FILE, _TRAINING):
        if (path / name).is_file():
            return path / name
    raise BadInput(
        f"{path} holds no {FILE}.\n"
        "Expected the cameras of the images there, e.g. written by nerfstudio's ns-process-data or by Blender."
    )


def read_frames(path: Path, reporter: Reporter | None = None) -> list[Frame]:
    """The frames of a file of cameras, checked, in its order. Frames whose image is absent are left out and counted.

    Args:
        path: the file; names in it are relative to its folder.
        reporter: is told what was left out.

    Raises:
        BadInput: not such a file, too few images, impossible cameras; the message says which.
    """
    reporter = reporter or Silent()
    content = read_json(path)
    try:
        entries = content["frames"]
        if len(entries) > _MOST_FRAMES:
            raise BadInput(f"{path} has {len(entries)} frames, expected at most {_MOST_FRAMES}.\nLeave some out.")
        files = NamedFiles(path.parent)
        found = [_frame(files, path.parent, entry, content) for entry in entries]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"{path} cannot be read as cameras ({type(error).__name__}: {str(error)[:200]}).\n"
            "Expected the JSON of nerfstudio or Blender's NeRF scenes: frames with file_path and transform_matrix."
        ) from error
    frames = _present(found, path, reporter)
    if len({frame.orthographic for frame in frames}) > 1:
        raise BadInput(f"{path} mixes {ORTHOGRAPHIC} with other cameras.\nExpected one kind for all frames.")
    return frames


def _present(found: list[Frame], path: Path, reporter: Reporter) -> list[Frame]:
    """The frames whose image is there."""
    frames = [frame for frame in found if frame.image.is_file()]
    missing = [str(frame.image) for frame in found if not frame.image.is_file()]
    missing_masks = [str(frame.mask) for frame in frames if frame.mask is not None and not frame.mask.is_file()]
    if missing_masks or (missing and len(frames) < 2):
        absent = missing_masks or missing
        raise BadInput(
            f"{len(absent)} of the files named in {path} are missing, the first is {_short(absent[0])}.\n"
            f"Paths are relative to the folder of {path.name}: put the images there or correct file_path."
        )
    if len(frames) < 2:
        raise BadInput(
            f"{path} has {len(frames)} frame(s), expected at least 2 views from different sides.\n"
            "For a single photo use: epimesh run PHOTO"
        )
    if missing:
        reporter.warn(
            f"{len(missing)} of {len(found)} images named in {path.name} are not there and were left out, the first is "
            f"{_short(missing[0])}."
        )
    return frames


def _frame(files: NamedFiles, folder: Path, entry: dict[str, Any], shared: dict[str, Any]) -> Frame:
    name = entry["file_path"]
    if not isinstance(name, str) or not name or len(name) > _LONGEST_NAME or "\0" in name:
        raise BadInput(f"The file_path {_short(str(name))!r} is not the name of a file.\nCorrect {FILE}.")
    stated = {**shared, **entry}
    matrix = _checked_matrix(_short(name), entry["transform_matrix"])
    numbers = {key: float(stated[key]) for key in _NUMBERS if stated.get(key) is not None}
    _check_numbers(_short(name), numbers)
    mask, depth, normals = (
        files.find(entry[key]) or folder / entry[key] if entry.get(key) else None
        for key in ("mask_path", "depth_file_path", "normal_file_path")
    )
    image = files.find(name) or folder / name
    orthographic = stated.get("camera_model") == ORTHOGRAPHIC
    return Frame(image, mask, matrix, numbers, depth, normals, orthographic, _lens(_short(name), stated))


def _check_numbers(name: str, numbers: dict[str, float]) -> None:
    unusable = [key for key, value in numbers.items() if not math.isfinite(value) or value <= 0]
    unusable += [key for key in ("camera_angle_x", "camera_angle_y") if numbers.get(key, 0) >= math.pi]
    if unusable:
        raise BadInput(
            f"{', '.join(unusable)} of frame {name} is not a positive number, or an angle of half a turn or more.\n"
            f"Correct {FILE}: lengths are pixels, angles radians below pi."
        )


def _lens(name: str, stated: dict[str, Any]) -> Lens | None:
    """What bends the pictures, or None."""
    model = stated.get("camera_model", "PINHOLE")
    fisheye = model == _FISHEYE or stated.get("is_fisheye") is True
    if model not in (*_PINHOLES, _FISHEYE, ORTHOGRAPHIC):
        raise BadInput(
            f"Frame {name} has the camera model {_short(str(model))}.\n"
            f"Expected {', '.join((*_PINHOLES, _FISHEYE))} or {ORTHOGRAPHIC}: undistort the images first."
        )
    numbers = [float(stated.get(key) or 0) for key in (*_RADIAL, *_TANGENTIAL)]
    if not all(map(math.isfinite, numbers)):
        raise BadInput(f"A lens coefficient (k1 to k4, p1, p2) of frame {name} is not finite.\nCorrect {FILE}.")
    bends = max(map(abs, numbers)) > _SMALLEST_DISTORTION
    if model == ORTHOGRAPHIC and (bends or fisheye):
        raise BadInput(f"Frame {name} is {ORTHOGRAPHIC} and has a distorting lens.\nExpected one or the other.")
    k1, k2, k3, k4, p1, p2 = numbers
    if fisheye:
        return Lens(True, (k1, k2, k3, k4))
    return Lens(False, (k1, k2, k3, k4), (p1, p2)) if bends else None


def _checked_matrix(name: str, rows: Any) -> Float[Tensor, "4 4"]:
    """A camera-to-world matrix; of 3 x 4 numbers the last row is understood."""
    matrix = torch.tensor(rows, dtype=torch.float64)
    last = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
    if matrix.shape == (3, 4):
        matrix = torch.cat([matrix, last])
    if matrix.shape != (4, 4) or not matrix.isfinite().all():
        raise BadInput(f"The transform_matrix of frame {name} is not 4 x 4 finite numbers.\nWrite {FILE} anew.")
    if float((matrix[3] - last[0]).abs().max()) > 1e-6:
        raise BadInput(
            f"The last row of the transform_matrix of frame {name} is {matrix[3].tolist()}.\n"
            "Expected 0 0 0 1: rows of a camera-to-world matrix, not columns."
        )
    rotation = matrix[:3, :3]
    off = float((rotation @ rotation.T - torch.eye(3)).abs().max())
    if off > 1e-2 or float(torch.det(rotation)) < 0:
        raise BadInput(
            f"The transform_matrix of frame {name} does not hold a rotation (its columns are off by {off:.2g}, "
            f"determinant {float(torch.det(rotation)):.2f}).\nExpected camera-to-world without scale or mirroring."
        )
    return matrix


def _short(name: str) -> str:
    """A name that fits a message."""
    return name if len(name) <= 120 else f"{name[:60]}...{name[-40:]}"
