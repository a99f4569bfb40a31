"""Scanned objects with rendered views, as SyncDreamer and the methods after it are measured on.

A folder of this layout holds

    cameras.json      image_size, K, world_to_camera ([R|t] per view, OpenCV axes, z up), elevation_deg
    alignment.json    per object its `matrix`: from the mesh's own frame to the world, 4 x 4
    NAME/000.png ...  one RGBA view per camera, straight alpha; the first is the photo
    NAME/model.obj    the mesh in its own frame

Google Scanned Objects (GSO) are named like SyncDreamer's 30. Nothing is aligned while measuring: the matrices are
exact.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from math import atan, degrees
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.data.objects import load_object
from epimesh.errors import BadInput
from epimesh.evaluation.ground_truth.stored_truth import SAME_POSE, StoredTruth
from epimesh.files.images import read_picture
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.pipeline.fingerprint import file_fingerprint, fingerprint
from epimesh.views import Views

PUBLISHED_OBJECTS = frozenset(
    {
        "alarm", "backpack", "bell", "blocks", "chicken", "cream", "elephant", "grandfather", "grandmother",
        "hat", "leather", "lion", "lunch_bag", "mario", "oil", "school_bus1", "school_bus2", "shoe",
        "shoe1", "shoe2", "shoe3", "soap", "sofa", "sorter", "sorting_board", "stucking_cups", "teapot",
        "toaster", "train", "turtle",
    }
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class GsoObject:
    """One object of such a folder.

    Args:
        folder: of the object.
        matrix: from the mesh's own frame to the world; None if alignment.json does not name the object.
        cameras: of the views, in order.
    """

    folder: Path
    matrix: Float[Tensor, "4 4"] | None
    cameras: Cameras

    @property
    def id(self) -> str:
        """The name of the folder."""
        return self.folder.name

    @property
    def files(self) -> list[Path]:
        """The views, then the mesh."""
        return [*(self.folder / f"{view:03d}.png" for view in range(len(self.cameras))), self.folder / "model.obj"]

    @cached_property
    def content(self) -> str:
        """A hash of everything that is known about the object."""
        found = [file_fingerprint(path) if path.is_file() else "missing" for path in self.files]
        matrix = None if self.matrix is None else self.matrix.tolist()
        return fingerprint(*found, str(matrix), str(self.cameras.world_to_camera.tolist()))

    def truth(self, *, elevation_deg: float, size: int) -> StoredTruth:
        """The truth, with the first view as the photo.

        Raises:
            BadInput: a file is missing or cannot be used, or the photo is not from that elevation and of that size.
        """
        missing = [path.name for path in self.files if not path.is_file()]
        if missing or self.matrix is None:
            lacking = ", ".join(missing) or "its matrix in alignment.json"
            raise BadInput(
                f"{self.folder} lacks {lacking}.\nExpected {len(self.cameras)} views, model.obj and a matrix."
            )
        rgba = torch.stack([self._picture(path) for path in self.files[:-1]])
        alpha = rgba[:, 3:]
        shown = Views(rgb=rgba[:, :3] * alpha + 1 - alpha, alpha=alpha, cameras=self.cameras)
        photo = Photo(rgba[0], elevation_deg, _fov_deg(self.cameras))
        apart = (photo.camera.world_to_camera - self.cameras.world_to_camera[0]).abs().max()
        if photo.size != size or float(apart) > SAME_POSE:
            raise BadInput(
                f"The first view of {self.folder} is not at azimuth 0, elevation {elevation_deg:g}, distance 1.5 and "
                f"{size} pixels.\nExpected the photo there: it defines where azimuth 0 is."
            )
        return StoredTruth(mesh=self._mesh(), photo=photo, scale=1.0, shown=shown)

    def _picture(self, path: Path) -> Float[Tensor, "4 H W"]:
        size = (self.cameras.height, self.cameras.width)
        picture = read_picture(path, longest_side=max(size))
        if picture.alpha is None or (picture.full_height, picture.full_width) != size:
            raise BadInput(
                f"{path} is no RGBA picture of {size[1]} x {size[0]} pixels.\nExpected one, as cameras.json says."
            )
        return torch.cat([picture.rgb, picture.alpha[None]])

    def _mesh(self) -> Mesh:
        assert self.matrix is not None
        own = load_object(self.folder / "model.obj")
        vertices = own.vertices.double() @ self.matrix[:3, :3].T + self.matrix[:3, 3]
        return Mesh(vertices.float(), own.faces)


def read_gso(folder: Path) -> list[GsoObject]:
    """Every object that the folder holds or its alignment.json names, by name; what one lacks is told by its `truth`.

    Raises:
        BadInput: there is no cameras.json or alignment.json, one of them cannot be used, or there is no object.
    """
    cameras, matrices = _cameras(_read(folder / "cameras.json")), _read(folder / "alignment.json")
    names = sorted({path.name for path in folder.iterdir() if path.is_dir()} | set(matrices))
    if not names:
        raise BadInput(f"{folder} holds no objects.\nExpected folders of views, named as in alignment.json.")
    return [GsoObject(folder / name, _matrix(matrices, name, folder), cameras) for name in names]


def elevation_of(cameras: Cameras) -> float:
    """Of the first view, in degrees."""
    return round(float(cameras.azimuth_elevation_deg()[1][0]), 3)


def _matrix(matrices: dict[str, Any], name: str, folder: Path) -> Float[Tensor, "4 4"] | None:
    if name not in matrices:
        return None
    try:
        matrix = torch.tensor(matrices[name]["matrix"], dtype=torch.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"{folder}/alignment.json: {name} has no matrix of numbers ({error}).\nExpected 4 x 4."
        ) from error
    if matrix.shape != (4, 4) or not matrix.isfinite().all():
        raise BadInput(f"{folder}/alignment.json: the matrix of {name} is not 4 x 4 finite numbers.\nCorrect it.")
    return matrix


def _cameras(content: dict[str, Any]) -> Cameras:
    try:
        width, height = (int(side) for side in content["image_size"])
        poses, intrinsics = (torch.tensor(content[key], dtype=torch.float32) for key in ("world_to_camera", "K"))
        whole = torch.eye(4).repeat(len(poses), 1, 1)
        whole[:, :3] = poses[:, :3]
        return Cameras(whole, intrinsics.repeat(len(poses), 1, 1), height=height, width=width)
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
        raise BadInput(
            f"cameras.json cannot be used ({type(error).__name__}: {error}).\n"
            "Expected image_size [width, height], K 3 x 3, and one 3 x 4 matrix per view in world_to_camera."
        ) from error


def _fov_deg(cameras: Cameras) -> float:
    return degrees(2 * atan(cameras.width / 2 / float(cameras.intrinsics[0, 0, 0])))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path} cannot be read ({error}).\nExpected a folder with cameras.json, alignment.json and one folder per "
            "object."
        ) from error
    if not isinstance(content, dict):
        raise BadInput(f"{path} holds {type(content).__name__}.\nExpected a mapping.")
    return content
