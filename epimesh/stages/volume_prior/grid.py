"""The grid that a surface of the volume is kept on: points at both ends of every axis."""

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.stages.volume_prior.network import SIDE


def grid_points(resolution: int) -> Float[Tensor, "N 3"]:
    """All points, z fastest."""
    axis = torch.linspace(-SIDE / 2, SIDE / 2, resolution)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
