"""What needs no learning, or hardly any: numbers that a generator must beat before it is worth anything.

copy           every view is the photo
mean object    every photo gets the mean of the training objects (`mean_object`)
inflated       the photo's silhouette, as deep as half its local width
true hull      the hull of all TRUE silhouettes: not a baseline but the most that silhouettes can give
"""

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.evaluation.baselines.implicit_shapes import grid_points, mesh_of, sampled_at, signed_outline_distance
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.views import Views

_SMOOTHING = 1.0  # grid steps


def copied_photo(photo: Photo, cameras: Cameras) -> Views:
    """The photo as the answer to every question."""
    same = photo.resized(cameras.height)
    count = len(cameras)
    return Views(
        rgb=same.on_white().expand(count, -1, -1, -1).clone(),
        alpha=same.rgba[3:].expand(count, -1, -1, -1).clone(),
        cameras=cameras,
    )


def inflated_silhouette(photo: Photo, resolution: int = 96) -> Mesh:
    """The silhouette around the plane through the origin, at every place as deep to both sides as its outline is far.

    Raises:
        StageFailed: the photo shows nothing.
    """
    points = grid_points(resolution)
    pixels, depth = photo.camera.project(points)
    half_width = sampled_at(signed_outline_distance(photo.rgba[3]), pixels[..., 0, :])
    unit_per_pixel = depth[..., 0] / photo.camera.intrinsics[0, 0, 0]
    distance = photo.camera.centres[0].norm()
    return mesh_of(half_width * unit_per_pixel - (depth[..., 0] - distance).abs())


def silhouette_hull(views: Views, resolution: int = 96) -> Mesh:
    """The largest shape within all silhouettes, slightly smoothed.

    Raises:
        StageFailed: the silhouettes have nothing in common.
    """
    points = grid_points(resolution)
    field = torch.full(points.shape[:3], torch.inf)
    for view in range(len(views)):
        field = torch.minimum(field, within_silhouette(points, views.alpha[view, 0], views.cameras[view]))
    return mesh_of(smoothed(field))


def within_silhouette(
    points: Float[Tensor, "X Y Z 3"], alpha: Float[Tensor, "H W"], camera: Cameras
) -> Float[Tensor, "X Y Z"]:
    """How far, in scene units, points lie within the cone of one silhouette; negative outside."""
    pixels, depth = camera.project(points)
    unit_per_pixel = depth[..., 0] / camera.intrinsics[0, 0, 0]
    return sampled_at(signed_outline_distance(alpha), pixels[..., 0, :]) * unit_per_pixel


def smoothed(field: Float[Tensor, "X Y Z"]) -> Float[Tensor, "X Y Z"]:
    """The field without the terraces that pixels leave."""
    from scipy.ndimage import gaussian_filter

    return torch.from_numpy(gaussian_filter(field.numpy(), _SMOOTHING))
