"""How a photo shows an object: where the object stands before the standard camera, and through which lens."""

from dataclasses import dataclass, replace
from math import atan, degrees, radians, tan

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import DISTANCE, FOV_DEG, Cameras

_REACH = tan(radians(FOV_DEG) / 2)  # half of the image plane at distance 1
_LARGEST = 1.9  # scene units; a larger object would come too close to the camera


@dataclass(frozen=True)
class Placement:
    """From the frame of a unit-sized object to the frame of a photo, whose camera stands at azimuth 0.

    Args:
        azimuth_deg: of the camera around the object.
        elevation_deg: of the camera.
        scale: of the object.
        right: shift of the object along the camera's x axis, in scene units.
        down: shift along its y axis.
        distance: of the camera; a longer lens than the standard one makes up for it.
    """

    azimuth_deg: float
    elevation_deg: float
    scale: float = 1.0
    right: float = 0.0
    down: float = 0.0
    distance: float = DISTANCE

    def camera(self, size: int) -> Cameras:
        """The camera, in the object's frame scaled by `scale`."""
        cameras = Cameras.on_sphere(
            torch.tensor([self.azimuth_deg], dtype=torch.float32),
            torch.tensor([self.elevation_deg], dtype=torch.float32),
            size=size,
            distance=self.distance,
            fov_deg=degrees(2 * atan(_REACH * DISTANCE / self.distance)),
        )
        pose = cameras.world_to_camera.clone()
        pose[:, 0, 3] += self.right
        pose[:, 1, 3] += self.down
        return replace(cameras, world_to_camera=pose)

    def to_photo_frame(self, points: Float[Tensor, "N 3"], told_elevation_deg: float) -> Float[Tensor, "N 3"]:
        """Where points of the object lie in the volume of the photo.

        The standard camera at the told elevation sees every point in the pixel that the real camera sees it in, and as
        far behind the object's centre. A wrong elevation thus tilts the object, and a long lens bends it a little, but
        no ray of the photo is ever wrong.
        """
        own = self.camera(2)
        seen = (points * self.scale) @ own.world_to_camera[0, :3, :3].T + own.world_to_camera[0, :3, 3]
        depth = seen[:, 2:] - self.distance + DISTANCE
        sideways = seen[:, :2] / seen[:, 2:] * (self.distance / DISTANCE) * depth
        told = Cameras.on_sphere(torch.zeros(1), torch.tensor([told_elevation_deg], dtype=torch.float32), size=2)
        standard = told.world_to_camera[0]
        return (torch.cat([sideways, depth], dim=1) - standard[:3, 3]) @ standard[:3, :3]

    def from_photo_frame(self, points: Float[Tensor, "N 3"], told_elevation_deg: float) -> Float[Tensor, "N 3"]:
        """The inverse of `to_photo_frame`, for points in front of both cameras."""
        told = Cameras.on_sphere(torch.zeros(1), torch.tensor([told_elevation_deg], dtype=torch.float32), size=2)
        standard, own = told.world_to_camera[0], self.camera(2).world_to_camera[0]
        # Coordinates in rows: products with three columns are many times slower.
        x, y, z = standard[:3, :3] @ points.T + standard[:3, 3:]
        depth = z - DISTANCE + self.distance
        wider = depth / z * (DISTANCE / self.distance)
        seen = torch.stack([x * wider, y * wider, depth]) - own[:3, 3:]
        return (own[:3, :3].T @ seen / self.scale).T

    def row(self) -> list[float]:
        """All fields in order, for storage."""
        return [self.azimuth_deg, self.elevation_deg, self.scale, self.right, self.down, self.distance]


def rig_placement(vertices: Float[Tensor, "N 3"], random: np.random.Generator, scale: float) -> Placement:
    """As in rigs of data sets: the object's centre on the optical axis, one scale for all views."""
    elevation = 30.0 if random.random() < 0.5 else random.uniform(-10, 45)
    return Placement(random.uniform(0, 360), elevation, scale)


def framed_placement(vertices: Float[Tensor, "N 3"], random: np.random.Generator) -> Placement:
    """As cut-out photos are: the object's outline is centred and fills the frame, seen through any usual lens."""
    elevation = random.uniform(-5, 45) if random.random() < 0.75 else random.uniform(-15, 75)
    distance = DISTANCE * (1.0 if random.random() < 0.6 else float(np.exp(random.uniform(0, 1))))
    fill = random.uniform(0.58, 0.8)
    placement = Placement(random.uniform(0, 360), elevation, distance=distance)
    longest = float((vertices.amax(0) - vertices.amin(0)).norm())
    for _ in range(5):
        pixels, _ = placement.camera(2).project(vertices * placement.scale)
        low, high = pixels[:, 0].amin(0) - 1, pixels[:, 0].amax(0) - 1
        centre = (low + high) / 2 * _REACH * DISTANCE
        scale = placement.scale * 2 * fill / float((high - low).max())
        scale = min(scale, _LARGEST / longest)
        placement = replace(
            placement,
            scale=scale,
            right=(placement.right - float(centre[0])) * scale / placement.scale,
            down=(placement.down - float(centre[1])) * scale / placement.scale,
        )
    return placement
