"""Wonder3D's six cameras, and the numbers by which its network is told of them.

The photo is the front view: everything lives in the frame of the camera that took it, so no elevation is needed.
"""

from math import pi, radians, tan

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import DISTANCE, Cameras
from epimesh.photo import Photo

AZIMUTHS_DEG = (0.0, 45.0, 90.0, 180.0, 270.0, 315.0)
"""Front, front right, right, back, left, front left: how far the camera has moved to the photo's right."""

VIEWS = len(AZIMUTHS_DEG)

# Differences of polar angle and azimuth from the front camera, in radians, in the tilted world in which the published
# weights were trained. They are labels: where the cameras are is said by AZIMUTHS_DEG.
_TOLD = (
    (0.0, 0.0),
    (-0.236240357, 0.812377512),
    (-0.168618709, 1.693489790),
    (0.522036552, pi),
    (0.690655351, 4.835082531),
    (0.373313904, 5.586010456),
)
# The same as the published demo has them, rounded to half precision.
_TOLD_ROUNDED = (
    (0.0, 0.0),
    (-0.236206055, 0.8125),
    (-0.168579102, 1.693359375),
    (0.521972656, 3.140625),
    (0.690429688, 4.8359375),
    (0.373291016, 5.5859375),
)


def told(objects: int = 1, *, rounded: bool = False) -> Float[Tensor, "R 5"]:
    """What each row is: elevation of the photo (0), polar and azimuth difference, and two flags, normals and colours.

    Args:
        objects: how many; rows are domain, then object, then view.
        rounded: the numbers of the published demo instead of those of its command line.
    """
    places = torch.tensor(_TOLD_ROUNDED if rounded else _TOLD)
    cameras = torch.cat([torch.zeros(VIEWS, 1), places], dim=1).repeat(2 * objects, 1)
    flags = torch.eye(2).repeat_interleave(objects * VIEWS, dim=0)
    return torch.cat([cameras, flags], dim=1)


def labels(numbers: Float[Tensor, "R 5"]) -> Float[Tensor, "R 10"]:
    """The class labels of the UNet: sines, then cosines, of all five numbers, the flags among them."""
    return torch.cat([numbers.sin(), numbers.cos()], dim=1)


def cameras(photo: Photo, size: int, crop: float) -> Cameras:
    """The orthographic cameras around the object, as large in the front view as it is in the photo.

    Args:
        photo: its camera is the front one.
        size: of the views, in pixels.
        crop: share of the front view that the object's longer side takes.
    """
    front = photo.camera.world_to_camera[0]
    turns = torch.deg2rad(torch.tensor(AZIMUTHS_DEG))
    sine, cosine, zero, one = turns.sin(), turns.cos(), torch.zeros(VIEWS), torch.ones(VIEWS)
    rows = [[cosine, zero, sine], [zero, one, zero], [-sine, zero, cosine]]
    turned = torch.eye(4).repeat(VIEWS, 1, 1)
    turned[:, :3, :3] = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2) @ front[:3, :3]
    turned[:, 2, 3] = DISTANCE
    focal = size / (_longer_side(photo) / crop)
    intrinsics = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return Cameras(turned, intrinsics.repeat(VIEWS, 1, 1), size, size, orthographic=True)


def _longer_side(photo: Photo) -> float:
    """Of the object's outline, in scene units at the distance of its middle."""
    solid = photo.rgba[3] > 0.5
    rows, columns = solid.any(dim=1).nonzero()[:, 0], solid.any(dim=0).nonzero()[:, 0]
    pixels = max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) + 1
    return pixels / photo.size * 2 * DISTANCE * tan(radians(photo.fov_deg) / 2)
