"""Depth and normals of posed views as PNG files beside the images, in the manner of nerfstudio.

A depth file has 16 bits per pixel: camera z in steps of the `depth_unit_scale_factor` that transforms.json states; 0
where it is not known. A normal file is RGBA: world x, y, z from -1 to 1 as 0 to 255; opaque where it is known.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.errors import BadInput

NERFSTUDIO_STEP = 1e-3  # what nerfstudio takes where nothing is stated
TURNED_AWAY = 0.2  # share of a view's normals; true ones look away from their camera only at outlines


def read_depth(path: Path, step: float, full_size: tuple[int, int], size: tuple[int, int]) -> Float[Tensor, "H W"]:
    """Camera z; infinite where it is not known.

    Args:
        path: the file.
        step: units per step of its integers.
        full_size: width and height that the file has to have, those of its image.
        size: width and height wanted; depth is picked, never averaged over a silhouette.

    Raises:
        BadInput: no PNG of 16 bits, or of another size.
    """
    with _opened(path, full_size) as picture:
        if picture.mode not in ("I;16", "I;16B", "I"):
            raise BadInput(
                f"{path} has pixels of the kind {picture.mode}, expected whole numbers of 16 bits (0: not known).\n"
                "Write depth as 16-bit grey PNG, or remove depth_file_path from transforms.json."
            )
        depth = torch.from_numpy(np.asarray(picture).astype(np.float32)) * step
    return _picked(torch.where(depth > 0, depth, torch.inf)[None], size)[0]


def read_normals(path: Path, full_size: tuple[int, int], camera: Cameras) -> Float[Tensor, "3 H W"]:
    """Unit normals in the world; zero where they are not known.

    Args:
        path: the file.
        full_size: width and height that the file has to have, those of its image.
        camera: of the view, for the size that is wanted.

    Raises:
        BadInput: no picture of 8 bits with transparency, of another size, or of another frame than the world's.
    """
    with _opened(path, full_size) as picture:
        if picture.mode != "RGBA":
            raise BadInput(
                f"{path} has pixels of the kind {picture.mode}, expected RGBA (transparent: not known).\n"
                "Write normals of the world as RGBA PNG, or leave them out (--normals ignore, or no normal_file_path)."
            )
        rgba = torch.from_numpy(np.asarray(picture).astype(np.float32) / 255).permute(2, 0, 1)
    normals = torch.nn.functional.normalize(rgba[:3] * 2 - 1, dim=0) * (rgba[3:] > 0.5)
    normals = _picked(normals, (camera.width, camera.height))
    _check_facing(normals, camera, path)
    return normals


def _check_facing(normals: Float[Tensor, "3 H W"], camera: Cameras, path: Path) -> None:
    """Refuses normals of another frame than the world's: many of those look away from the camera that sees them."""
    known = normals.norm(dim=0) > 0.5
    away = (camera.rays()[1][0].permute(2, 0, 1) * normals).sum(dim=0)[known] > 0
    if known.any() and float(away.float().mean()) > TURNED_AWAY:
        raise BadInput(
            f"{float(away.float().mean()):.0%} of the normals in {path} look away from the camera that sees them.\n"
            "Expected normals in the world of transform_matrix (x, y, z from -1 to 1 as 0 to 255), not in the camera's "
            "axes: turn them, or leave them out (--normals ignore)."
        )


def _opened(path: Path, full_size: tuple[int, int]) -> Image.Image:
    try:
        picture = Image.open(path, formats=("PNG",))
        if picture.size == full_size:
            picture.load()
            return picture
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(
            f"{path} cannot be read ({error}).\nExpected a whole PNG file: write or copy it again."
        ) from error
    width, height = picture.size
    picture.close()
    raise BadInput(
        f"{path} has {width} x {height} pixels, expected {full_size[0]} x {full_size[1]} like the image.\n"
        "Depth and normals have to lie on their image: write them at its size."
    )


def _picked(image: Float[Tensor, "C H W"], size: tuple[int, int]) -> Float[Tensor, "C h w"]:
    """The pixels under the centres of a smaller image's."""
    _, full_height, full_width = image.shape
    width, height = size
    rows = ((torch.arange(height) + 0.5) * full_height / height).long()
    columns = ((torch.arange(width) + 0.5) * full_width / width).long()
    return image[:, rows][:, :, columns]
