"""Cameras and depth for the tests of the epipolar decoder, in double precision."""

import torch
from torch import Tensor

from epimesh.cameras import Cameras

RADIUS = 0.4  # of the ball round the origin


def doubled(cameras: Cameras) -> Cameras:
    """The same cameras in double precision."""
    return Cameras(
        cameras.world_to_camera.double(),
        cameras.intrinsics.double(),
        cameras.height,
        cameras.width,
        cameras.orthographic,
    )


def orthographic(cameras: Cameras) -> Cameras:
    """Parallel rays, at the scale that a pinhole camera has at its distance from the origin."""
    intrinsics = cameras.intrinsics.clone()
    intrinsics[:, [0, 1], [0, 1]] /= cameras.world_to_camera[0, 2, 3]
    return Cameras(cameras.world_to_camera, intrinsics, cameras.height, cameras.width, orthographic=True)


def uneven_ring(views: int = 6, size: int = 32) -> Cameras:
    """Cameras at the six azimuths of Wonder3D and beyond, at alternating elevations, so that no two are alike."""
    azimuth = torch.arange(views) * (360.0 / views)
    return doubled(Cameras.on_sphere(azimuth, 25.0 * (-1.0) ** torch.arange(views), size=size))


def meets_ball(origins: Tensor, directions: Tensor) -> Tensor:
    """Length of each ray (unit directions) to a ball round the origin; infinite where it passes by."""
    along = -(origins * directions).sum(-1)
    half_chord = RADIUS**2 - (origins.square().sum(-1) - along.square())
    return torch.where(half_chord > 0, along - half_chord.clamp_min(0).sqrt(), torch.inf)


def ball_depth(cameras: Cameras) -> Tensor:
    """Exact camera z of the ball at pixel centres."""
    origins, directions = cameras.rays()
    return meets_ball(origins, directions) * (directions * cameras.forward[:, None, None]).sum(-1)
