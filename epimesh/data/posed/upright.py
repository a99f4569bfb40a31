"""Which way is up in a capture: what its cameras held upright."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.errors import BadInput

NAMED = {
    "x": (1.0, 0.0, 0.0),
    "y": (0.0, 1.0, 0.0),
    "z": (0.0, 0.0, 1.0),
    "-x": (-1.0, 0.0, 0.0),
    "-y": (0.0, -1.0, 0.0),
    "-z": (0.0, 0.0, -1.0),
}

_LEVEL_DEG = 12.0  # that hand-held cameras roll; more, and their right sides say nothing
_SPREAD = 0.05  # how far round the object the cameras have to stand for their right sides to say what is level
_AGREEMENT = 0.5  # length of the mean of the cameras' up sides, below which they say nothing
_UNTURNED_DEG = 5.0  # less than this is the wobble of hands
# Where a picture's upper side is stored, by EXIF's orientation: as multiples of the camera's right and up.
_STORED_UP = {1: (0, 1), 2: (0, 1), 3: (0, -1), 4: (0, -1), 5: (-1, 0), 6: (-1, 0), 7: (1, 0), 8: (1, 0)}


def upright_axes(pose: Float[Tensor, "4 4"], orientation: int) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """Right and up of the picture as people see it, in the world.

    Args:
        pose: camera-to-world with OpenGL axes, of the picture as it is stored.
        orientation: its EXIF tag, 1 to 8.
    """
    right, up = pose[:3, 0], pose[:3, 1]
    along_right, along_up = _STORED_UP[orientation]
    seen_up = along_right * right + along_up * up
    return torch.linalg.cross(seen_up, pose[:3, 2]), seen_up


def up_of(rights: Float[Tensor, "V 3"], ups: Float[Tensor, "V 3"]) -> Float[Tensor, "3"] | None:
    """The direction that all cameras held upright, or None if they do not tell.

    Pictures taken without rolling the camera have level right sides: up is what is at right angles to all of them,
    however high the cameras stand. Otherwise it is the mean of the cameras' up sides.
    """
    ups = torch.nn.functional.normalize(ups, dim=-1)
    mean = ups.mean(dim=0)
    spread, axes = torch.linalg.eigh((rights[:, :, None] * rights[:, None]).mean(dim=0))
    if float(spread[1]) > _SPREAD and float(spread[0]) < math.sin(math.radians(_LEVEL_DEG)) ** 2:
        vertical = axes[:, 0] * torch.sign(mean @ axes[:, 0])
        if float((ups @ vertical > 0).float().mean()) > 0.9:
            return vertical
    return mean / mean.norm() if float(mean.norm()) > _AGREEMENT else None


def turn_to(up: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """The smallest rotation that brings `up` to +z; none for a few degrees."""
    x, y, z = torch.nn.functional.normalize(up.double(), dim=0).tolist()
    if z > math.cos(math.radians(_UNTURNED_DEG)):
        return torch.eye(3, dtype=torch.float64)
    if z < -1 + 1e-9:
        return torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    cross = torch.tensor([[0.0, 0.0, -x], [0.0, 0.0, -y], [x, y, 0.0]], dtype=torch.float64)
    return torch.eye(3, dtype=torch.float64) + cross + cross @ cross / (1 + z)


def named(up: str) -> Float[Tensor, "3"]:
    """The axis called x, y, z, -x, -y or -z.

    Raises:
        BadInput: another word.
    """
    if up not in NAMED:
        raise BadInput(f"--up is '{up}'.\nExpected auto, or an axis: {', '.join(NAMED)}.")
    return torch.tensor(NAMED[up], dtype=torch.float64)
