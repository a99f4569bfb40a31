"""How much of what the photo shows is in the final mesh: its silhouette, held against that of the cut-out."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.rendering.ray_casting import RayCaster
from epimesh.views import Views, to_picture

ENOUGH = 0.85  # of the silhouette; less is worth a warning
PICTURE = "missing.png"
_SIDE = 256  # pixels, along the longer side, at which silhouettes are compared
_MISSING = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
_PALE = 0.35  # how much of the picture's own colour is left beside what is missing


@dataclass(frozen=True, eq=False)
class Shown:
    """One image held against the mesh.

    Args:
        share: of the object's pixels, how much the mesh covers.
        picture: the image, pale, with the object's parts that the mesh lacks in red.
    """

    share: float
    picture: Image.Image


def shown_in_photo(mesh: Mesh, photo: Photo) -> Shown:
    """The mesh seen by the photo's camera."""
    return _shown(mesh, photo.on_white(), photo.rgba[3:], photo.camera)


def least_shown_view(mesh: Mesh, views: Views) -> Shown:
    """The view of whose object the mesh covers least."""
    parts = (_shown(mesh, views.rgb[i], views.alpha[i], views.cameras[i]) for i in range(len(views)))
    return min(parts, key=lambda part: part.share)


def _shown(mesh: Mesh, rgb: Float[Tensor, "3 H W"], alpha: Float[Tensor, "1 H W"], camera: Cameras) -> Shown:
    shrink = max(1.0, max(rgb.shape[1:]) / _SIDE)
    size = [max(1, round(side / shrink)) for side in rgb.shape[1:]]
    image = torch.cat([rgb, alpha]).cpu().float()[None]
    small = torch.nn.functional.interpolate(image, size, mode="bilinear", antialias=True)[0]
    origins, directions = camera.resized(*size).rays()
    hit = RayCaster(mesh.vertices, mesh.faces).cast(origins[0], directions[0]).hit
    inside = small[3] > 0.5
    missing = inside & ~hit
    share = 1 - float(missing.sum()) / max(int(inside.sum()), 1)
    pale = small[:3] * _PALE + 1 - _PALE
    return Shown(share, to_picture(torch.where(missing, _MISSING, pale)))
