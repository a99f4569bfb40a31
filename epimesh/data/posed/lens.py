"""Lenses that bend straight lines: pictures are resampled as a pinhole camera at the same place would have taken them.

Sources:
    OpenCV's camera model (radial and tangential distortion) and its fisheye model (Kannala and Brandt, "A Generic
    Camera Model and Calibration Method", 2006), in the form in which nerfstudio and instant-ngp store them.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.errors import BadInput

_STEPS = 20  # of the inversions; a few suffice for real lenses
_WIDEST = math.radians(75)  # from the axis: beyond, a flat picture stretches to the size of a wall
_MARGIN = 0.02  # of the picture's side, around the object


@dataclass(frozen=True)
class Lens:
    """How a lens moves points of the plane at depth 1.

    Args:
        fisheye: True: the angle from the axis times 1 + k1 angle^2 + ... is the radius in the picture. False: the
            radius r is multiplied by 1 + k1 r^2 + ..., and the tangential terms are added.
        radial: k1 to k4.
        tangential: p1 and p2; a fisheye has none.
    """

    fisheye: bool
    radial: tuple[float, float, float, float]
    tangential: tuple[float, float] = (0.0, 0.0)

    def bent(self, points: Float[Tensor, "*shape 2"]) -> Float[Tensor, "*shape 2"]:
        """Where the picture shows what a pinhole camera would show at `points` of the plane at depth 1."""
        radius = points.norm(dim=-1, keepdim=True)
        if self.fisheye:
            angle = torch.atan(radius)
            return points * (angle * self._polynomial(angle) / radius.clamp_min(1e-9))
        x, y = points.unbind(-1)
        p1, p2 = self.tangential
        squared = x * x + y * y
        across = torch.stack([2 * p1 * x * y + p2 * (squared + 2 * x * x), p1 * (squared + 2 * y * y) + 2 * p2 * x * y])
        return points * self._polynomial(radius) + across.movedim(0, -1)

    def straightened(self, points: Float[Tensor, "N 2"]) -> Float[Tensor, "N 2"]:
        """The inverse of `bent`, by fixed-point steps; not finite where the lens shows nothing that a plane holds."""
        if self.fisheye:
            radius = points.norm(dim=-1, keepdim=True)
            angle = radius
            for _ in range(_STEPS):
                angle = radius / self._polynomial(angle).clamp_min(0.1)
            tangent = torch.where(angle < _WIDEST, angle.tan(), torch.full_like(angle, torch.nan))
            return points * (tangent / radius.clamp_min(1e-9))
        found = points
        for _ in range(_STEPS):
            found = found + (points - self.bent(found))
        off = (self.bent(found) - points).abs().amax(dim=-1, keepdim=True)
        return torch.where(off < 1e-3, found, torch.full_like(found, torch.nan))

    def reach(self) -> float:
        """Radius in the plane up to which more of it means more in the picture; beyond, the formula folds back."""
        along = torch.linspace(0, _WIDEST if self.fisheye else math.tan(_WIDEST), 2000)
        falling = ((along * self._polynomial(along)).diff() <= 0).nonzero()
        last = float(along[int(falling[0, 0])]) if len(falling) else float(along[-1])
        return math.tan(last) if self.fisheye else last

    def _polynomial(self, of: Tensor) -> Tensor:
        squared = of * of
        k1, k2, k3, k4 = self.radial
        return 1 + squared * (k1 + squared * (k2 + squared * (k3 + squared * k4)))


def as_pinhole(
    rgba: Float[Tensor, "4 H W"], camera: Cameras, lens: Lens, name: str
) -> tuple[Float[Tensor, "4 H W"], Cameras]:
    """The picture, on white, without the bending of the lens, and its pinhole camera.

    The focal length stays unless the object would leave the picture; then it shrinks until the object fits.

    Raises:
        BadInput: the object reaches so far from the optical axis that no flat picture can hold it.
    """
    height, width = rgba.shape[1:]
    focal, centre = torch.diagonal(camera.intrinsics[0])[:2], camera.intrinsics[0, :2, 2]
    rows, columns = (rgba[3] > 0.5).nonzero().unbind(-1)
    pixels = torch.stack([columns, rows], dim=-1) + 0.5
    plane = lens.straightened((pixels - centre) / focal)
    if not plane.isfinite().all():
        raise BadInput(
            f"The object in {name} reaches more than {math.degrees(_WIDEST):.0f} degrees from the optical axis of its "
            "lens, which no flat picture can hold.\nLeave that frame out, or correct its mask and its lens (k1 to k4)."
        )
    room = torch.stack([centre, torch.tensor([width, height]) - centre]) - _MARGIN * max(height, width)
    needed = torch.stack([(-plane * focal).amax(0), (plane * focal).amax(0)]) if len(plane) else room * 0
    shrink = float((room.clamp_min(1) / needed.clamp_min(1e-6)).min().clamp_max(1))
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    plane = (torch.stack([u, v], dim=-1) - centre) / (focal * shrink)
    grid = (lens.bent(plane) * focal + centre) / torch.tensor([width, height]) * 2 - 1
    # Beside the picture its border goes on: an object that is cut off there is not taken to end there.
    seen = torch.nn.functional.grid_sample(rgba[None], grid[None], padding_mode="border", align_corners=False)[0]
    folded = plane.norm(dim=-1) > lens.reach()
    seen = torch.where(folded, torch.tensor([1.0, 1.0, 1.0, 0.0])[:, None, None], seen)
    intrinsics = camera.intrinsics.clone()
    intrinsics[:, [0, 1], [0, 1]] *= shrink
    return seen, Cameras(camera.world_to_camera, intrinsics, height, width)
