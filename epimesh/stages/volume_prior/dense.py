"""Asks the network about a whole grid of points: everywhere coarsely, finely where the surface passes."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from epimesh.stages.volume_prior.guess import RingGuess
from epimesh.stages.volume_prior.network import PIXELS, SIDE, PhotoFeatures, VolumeNetwork

CHUNK = 32_768  # points at a time; about 40 MB


class Asked(NamedTuple):
    """One photo as the network has understood it.

    Args:
        photo: colours on white with coverage.
        ring: a coarse guess of the ring of views.
        seen: its features.
        volume: features of the volume.
        elevation_deg: of the camera.
    """

    photo: Float[Tensor, "1 4 S S"]
    ring: Float[Tensor, "1 16 4 h w"]
    seen: PhotoFeatures
    volume: Float[Tensor, "1 C X X X"]
    elevation_deg: Float[Tensor, "1"]


def asked(network: VolumeNetwork, guess: RingGuess, photo: Float[Tensor, "4 S S"], elevation_deg: float) -> Asked:
    """The network's understanding of a photo on white with coverage, at `PIXELS` per side."""
    assert photo.shape[-1] == PIXELS
    device = next(network.parameters()).device
    batch, elevation = photo[None].to(device), torch.tensor([elevation_deg], device=device)
    seen, ring = network.photo_features(batch), guess(batch, elevation)
    return Asked(batch, ring, seen, network.volume(batch, ring, seen, elevation), elevation)


def occupancy_at(network: VolumeNetwork, known: Asked, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N"]:
    """Logits of points in the photo's frame."""
    return torch.cat([_answers(network, known, part)[0] for part in points.split(CHUNK)])


def colors_at(network: VolumeNetwork, known: Asked, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Colours of points in the photo's frame."""
    return torch.cat([_answers(network, known, part)[1] for part in points.split(CHUNK)])


def grid_axis(resolution: int) -> Float[Tensor, "R"]:
    """Coordinates of grid points along each side of the volume, both ends included."""
    return torch.linspace(-SIDE / 2, SIDE / 2, resolution)


def grid_points(resolution: int) -> Float[Tensor, "N 3"]:
    """All points of the grid, z fastest."""
    axis = grid_axis(resolution)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)


def occupancy_grid(network: VolumeNetwork, known: Asked, resolution: int) -> Float[Tensor, "R R R"]:
    """Logits on a grid of 4 k + 1 points per side: every fourth point is asked for, then finer ones near borders."""
    side = (resolution - 1) // 4 + 1
    logits = occupancy_at(network, known, grid_points(side)).reshape(side, side, side).cpu()
    for side in ((resolution - 1) // 2 + 1, resolution):
        finer = functional.interpolate(logits[None, None], (side,) * 3, mode="trilinear", align_corners=True)
        logits = finer[0, 0]
        near = near_border(logits, 2)
        logits[near] = occupancy_at(network, known, grid_points(side)[near.flatten()]).cpu()
    return logits


def near_border(logits: Float[Tensor, "X Y Z"], cells: int) -> Bool[Tensor, "X Y Z"]:
    """True within so many cells of a change between inside and outside."""
    from scipy.ndimage import uniform_filter

    share = uniform_filter((logits > 0).float().numpy(), 2 * cells + 1, mode="nearest")
    return torch.from_numpy((share > 1e-3) & (share < 1 - 1e-3))


def _answers(network: VolumeNetwork, known: Asked, points: Tensor) -> tuple[Tensor, Tensor]:
    batch = points[None].to(known.photo.device)
    said = network.answers(known.photo, known.ring, known.seen, known.volume, known.elevation_deg, batch)
    return said.occupancy[0], said.rgb[0]
