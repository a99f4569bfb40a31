"""What views and photo show, in one form: images of any size, each with its silhouette as a signed distance."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from epimesh.cameras import Cameras
from epimesh.errors import StageFailed
from epimesh.photo import Photo
from epimesh.rendering.silhouette import silhouette_distance
from epimesh.runtime import Runtime
from epimesh.views import Views

MAX_PIXELS = 512  # longer sides are reduced: finer than the grids can show
CLOSEST = 0.05  # scene units from the origin that a pinhole camera may stand
MIN_COVERAGE = 1e-4  # of the image; smaller silhouettes are called empty


@dataclass(frozen=True, eq=False)
class SilhouetteView:
    """One image of the object.

    Args:
        rgb: on white, H x W x 3.
        alpha: coverage, H x W.
        distance: signed distance to the silhouette in pixels, negative inside, H x W.
        camera: the one camera.
        is_photo: true of the photo, which is not imagined.
    """

    rgb: NDArray[np.float32]
    alpha: NDArray[np.float32]
    distance: NDArray[np.float32]
    camera: Cameras
    is_photo: bool = False

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


def silhouette_views(views: Views, photo: Photo | None, runtime: Runtime) -> list[SilhouetteView]:
    """All images with a silhouette. Empty images, and those that hold NaN, are left out with a warning.

    Images may be larger or smaller than their cameras say, as long as they have the same shape.

    Raises:
        StageFailed: no image is left, or images have another shape than their cameras.
    """
    _check_shape(views)
    _check_distance(views.cameras)
    images = [(views.rgb[i], views.alpha[i, 0], views.cameras[i], False) for i in range(len(views))]
    if photo is not None:
        images.append((photo.on_white(), photo.rgba[3], photo.camera, True))
    finite = [image for image in images if bool(image[0].isfinite().all() and image[1].isfinite().all())]
    kept = [image for image in finite if float((image[1] > 0.5).float().mean()) > MIN_COVERAGE]
    unusable = f"{len(finite) - len(kept)} are empty and {len(images) - len(finite)} hold numbers that are not finite"
    if not kept:
        raise StageFailed(
            f"None of the {len(images)} views shows an object: {unusable}.\n"
            "Expected views of one object on white with its alpha. Look at the decoded views, and try another seed, "
            "more steps, or another photo."
        )
    if len(kept) < len(images):
        runtime.reporter.warn(f"Of {len(images)} views {unusable}; they were left out.")
    return [_shot(*image) for image in kept]


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


def _shot(rgb: torch.Tensor, alpha: torch.Tensor, camera: Cameras, is_photo: bool) -> SilhouetteView:
    stacked = torch.cat([rgb, alpha[None]]).detach().cpu().float()
    camera = Cameras(
        camera.world_to_camera.cpu(), camera.intrinsics.cpu(), camera.height, camera.width, camera.orthographic
    )
    longest = max(stacked.shape[1:])
    if longest > MAX_PIXELS:
        size = [round(length * MAX_PIXELS / longest) for length in stacked.shape[1:]]
        stacked = torch.nn.functional.interpolate(stacked[None], size, mode="bilinear", antialias=True)[0]
    if stacked.shape[1:] != (camera.height, camera.width):
        camera = camera.resized(*stacked.shape[1:])
    array = stacked.clamp(0, 1).permute(1, 2, 0).numpy()
    return SilhouetteView(
        np.ascontiguousarray(array[..., :3]),
        np.ascontiguousarray(array[..., 3]),
        silhouette_distance(array[..., 3]),
        camera,
        is_photo,
    )
