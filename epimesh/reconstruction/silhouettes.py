"""What views and photo show, in one form: images of any size, each with its silhouette as a signed distance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.errors import StageFailed
from epimesh.photo import Photo
from epimesh.rendering.silhouette import silhouette_distance
from epimesh.runtime import Runtime
from epimesh.views import Views

MAX_PIXELS = 512  # longer sides are reduced: finer than the grids can show
CLOSEST = 0.05  # scene units from the origin that a pinhole camera may stand
MIN_COVERAGE = 1e-4  # of the image; smaller silhouettes are called empty
MIN_NORMAL = 0.5  # length; normals that were averaged to less are mixtures of many


@dataclass(frozen=True, eq=False)
class SilhouetteView:
    """One image of the object.

    Args:
        rgb: on white, H x W x 3.
        alpha: coverage, H x W.
        distance: signed distance to the silhouette in pixels, negative inside, H x W.
        camera: the one camera.
        is_photo: true of the photo, which is not imagined.
        normals: unit normals in the world, zero where not known, H x W x 3; None where none are known.
        weight: how much each of its rays counts.
    """

    rgb: NDArray[np.float32]
    alpha: NDArray[np.float32]
    distance: NDArray[np.float32]
    camera: Cameras
    is_photo: bool = False
    normals: NDArray[np.float32] | None = None
    weight: float = 1.0

    @property
    def projection(self) -> NDArray[np.float64]:
        """The 3 x 4 matrix from world points to (u z, v z, z), or to (u, v, 1) where orthographic."""
        matrix = self.camera.world_to_camera[0].double().numpy()[:3].copy()
        if self.camera.orthographic:
            matrix[2] = (0, 0, 0, 1)
        return self.camera.intrinsics[0].double().numpy() @ matrix

    @property
    def focal(self) -> float:
        """Mean focal length in pixels."""
        return float(torch.diagonal(self.camera.intrinsics[0])[:2].mean())


class _Image(NamedTuple):
    """One image of the object as it was given."""

    rgb: Float[Tensor, "3 H W"]
    alpha: Float[Tensor, "H W"]
    camera: Cameras
    normals: Float[Tensor, "3 H W"] | None
    weight: float
    is_photo: bool

    def is_finite(self) -> bool:
        return bool(self.rgb.isfinite().all() and self.alpha.isfinite().all())

    def is_empty(self) -> bool:
        return float((self.alpha > 0.5).float().mean()) <= MIN_COVERAGE


def silhouette_views(
    views: Views, photo: Photo | None, runtime: Runtime, weights: Sequence[float] = ()
) -> list[SilhouetteView]:
    """All images with a silhouette. Empty images, and those that hold NaN, are left out with a warning.

    Images may be larger or smaller than their cameras say, as long as they have the same shape.

    Args:
        views: the images.
        photo: one image more, or None.
        runtime: hears what was left out.
        weights: how much each view counts; none for all alike.

    Raises:
        StageFailed: no image is left, images have another shape than their cameras, or another number than weights.
    """
    _check_shape(views)
    _check_distance(views.cameras)
    images = _images(views, weights)
    if photo is not None:
        images.append(_Image(photo.on_white(), photo.rgba[3], photo.camera, None, 1.0, True))
    finite = [image for image in images if image.is_finite()]
    kept = [image for image in finite if not image.is_empty()]
    unusable = f"{len(finite) - len(kept)} are empty and {len(images) - len(finite)} hold numbers that are not finite"
    if not kept:
        raise StageFailed(
            f"None of the {len(images)} views shows an object: {unusable}.\n"
            "Expected views of one object on white with its alpha. Look at the decoded views, and try another seed, "
            "more steps, or another photo."
        )
    if len(kept) < len(images):
        runtime.reporter.warn(f"Of {len(images)} views {unusable}; they were left out.")
    return [_shot(image) for image in kept]


def _images(views: Views, weights: Sequence[float]) -> list[_Image]:
    if weights and len(weights) != len(views):
        raise StageFailed(
            f"There are {len(views)} views, but {len(weights)} view_weights.\n"
            "Expected one for each view, or none: those of a preset belong to its own generator."
        )
    normals = [None] * len(views) if views.normals is None else list(views.normals)
    return [
        _Image(views.rgb[i], views.alpha[i, 0], views.cameras[i], normals[i], weights[i] if weights else 1.0, False)
        for i in range(len(views))
    ]


def _check_shape(views: Views) -> None:
    height, width = views.rgb.shape[2:]
    cameras = views.cameras
    if len(cameras) != len(views) or abs(width * cameras.height - height * cameras.width) > max(height, width):
        raise StageFailed(
            f"There are {len(views)} views of {width} x {height} pixels, but {len(cameras)} cameras for images of "
            f"{cameras.width} x {cameras.height}.\nExpected one camera per view, for images of the same shape."
        )


def _check_distance(cameras: Cameras) -> None:
    """A camera at the origin stands inside the object, where no picture can show it whole."""
    inside = (cameras.centres.norm(dim=-1) < CLOSEST).nonzero()[:, 0].tolist()
    if inside and not cameras.orthographic:
        raise StageFailed(
            f"{len(inside)} of {len(cameras)} cameras, the first of them number {inside[0]}, stand inside the object.\n"
            "Expected cameras around an object of about unit size at the origin: check their positions."
        )


def _shot(image: _Image) -> SilhouetteView:
    given = image.camera
    camera = Cameras(given.world_to_camera.cpu(), given.intrinsics.cpu(), given.height, given.width, given.orthographic)
    stacked = _reduced(torch.cat([image.rgb, image.alpha[None]]))
    if stacked.shape[1:] != (camera.height, camera.width):
        camera = camera.resized(*stacked.shape[1:])
    array = stacked.clamp(0, 1).permute(1, 2, 0).numpy()
    return SilhouetteView(
        np.ascontiguousarray(array[..., :3]),
        np.ascontiguousarray(array[..., 3]),
        silhouette_distance(array[..., 3]),
        camera,
        image.is_photo,
        None if image.normals is None else _unit(_reduced(image.normals)),
        image.weight,
    )


def _reduced(image: Float[Tensor, "C H W"]) -> Float[Tensor, "C h w"]:
    """On the CPU, no larger than is needed."""
    image = image.detach().cpu().float()
    longest = max(image.shape[1:])
    if longest <= MAX_PIXELS:
        return image
    size = [round(length * MAX_PIXELS / longest) for length in image.shape[1:]]
    return torch.nn.functional.interpolate(image[None], size, mode="bilinear", antialias=True)[0]


def _unit(normals: Float[Tensor, "3 H W"]) -> NDArray[np.float32]:
    """Of unit length, H x W x 3; zero where they are not known, not finite, or a mixture of opposite ones."""
    length = normals.norm(dim=0)
    known = torch.where(length > MIN_NORMAL, normals / length, torch.zeros_like(normals))
    return np.ascontiguousarray(known.permute(1, 2, 0).numpy())
