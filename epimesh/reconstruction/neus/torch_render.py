"""The kernel's mathematics in plain PyTorch: the reference of the tests, and what runs on a GPU."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from epimesh.reconstruction.neus.kernel import MAX_SAMPLES, Optics


def look_up(
    grid: Float[Tensor, "cells C"], points: Float[Tensor, "R S 3"], side: int, radius: float
) -> Float[Tensor, "R S C"]:
    """Trilinear values of the grid (side^3 cells, z fastest) at world points."""
    position = ((points + radius) * ((side - 1) / (2 * radius))).clamp(0, side - 1.001)
    low = position.floor()
    share = position - low
    i, j, k = low.long().unbind(-1)
    cell = (i * side + j) * side + k
    total = grid.new_zeros(*points.shape[:2], grid.shape[1])
    for dx in (0, 1):
        for dy in (0, 1):
            for dz in (0, 1):
                corner = torch.tensor([dx, dy, dz], dtype=torch.bool, device=points.device)
                weight = torch.where(corner, share, 1 - share).prod(-1, keepdim=True)
                total = total + weight * grid[cell + (dx * side + dy) * side + dz]
    return total


@torch.no_grad()
def march(
    grid: Float[Tensor, "cells C"],
    origins: Float[Tensor, "R 3"],
    directions: Float[Tensor, "R 3"],
    *,
    side: int,
    radius: float,
    optics: Optics,
) -> tuple[Float[Tensor, "R S"], Int[Tensor, "R"]]:
    """Depths of the section ends along every ray, and how many there are. The grid's first channel is the distance."""
    slope = torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
    walls = torch.stack([(-radius - origins) / slope, (radius - origins) / slope])
    t = walls.amin(0).amax(-1).clamp_min(0) + optics.jitter * optics.step
    far = walls.amax(0).amin(-1)
    depths = torch.zeros(len(origins), MAX_SAMPLES, device=grid.device)
    count = torch.zeros(len(origins), dtype=torch.long, device=grid.device)
    alive = torch.ones_like(count, dtype=torch.bool)
    rows = torch.arange(len(origins), device=grid.device)
    while True:
        alive &= (t < far) & (count < MAX_SAMPLES)
        if not alive.any():
            return depths, count
        distance = look_up(grid[:, :1], (origins + t[:, None] * directions)[:, None], side, radius)[:, 0, 0]
        inside = alive & (distance <= optics.band)
        depths[rows[inside], count[inside]] = t[inside]
        count += inside
        alive &= distance >= -optics.band
        t = t + torch.where(inside, torch.full_like(t, optics.step), (distance - optics.band).clamp_min(optics.step))


def section_weights(
    distance: Float[Tensor, "R S"], count: Int[Tensor, "R"], sharpness: Tensor | float
) -> tuple[Float[Tensor, "R T"], Float[Tensor, "R 1"]]:
    """Weights of the sections between samples with these distances, T = S - 1, and what is left of every ray.

    Args:
        distance: signed, at the samples.
        count: how many samples of a ray are real.
        sharpness: of the logistic function.
    """
    log_phi = torch.nn.functional.logsigmoid(sharpness * distance)
    kept = (log_phi[:, 1:] - log_phi[:, :-1]).clamp_max(0)
    real = torch.arange(distance.shape[1] - 1, device=distance.device) < (count - 1)[:, None]
    through = torch.where(real, kept, torch.zeros_like(kept)).cumsum(-1).exp()
    before = torch.cat([torch.ones_like(through[:, :1]), through[:, :-1]], dim=-1)
    return before - through, through[:, -1:]


def composite(
    distance: Float[Tensor, "R S"], color: Float[Tensor, "R S 3"], count: Int[Tensor, "R"], sharpness: Tensor | float
) -> Float[Tensor, "R 4"]:
    """Colours on white and coverage of rays whose sections end at samples with these distances and colours.

    Source:
        Wang et al., "NeuS" (arXiv:2106.10689), equation 13: alpha = max((Phi_i - Phi_{i+1}) / Phi_i, 0).
    """
    weight, left = section_weights(distance, count, sharpness)
    shade = (weight[..., None] * (color[:, 1:] + color[:, :-1]) / 2).sum(1)
    return torch.cat([shade + left, 1 - left], dim=-1)


def rendered(
    grid: Float[Tensor, "cells 4"],
    origins: Float[Tensor, "R 3"],
    directions: Float[Tensor, "R 3"],
    *,
    side: int,
    radius: float,
    optics: Optics,
) -> Float[Tensor, "R 4"]:
    """Colours on white and coverage of rays, differentiable by the grid."""
    depths, count = march(grid, origins, directions, side=side, radius=radius, optics=optics)
    most = max(2, int(count.max()))
    points = origins[:, None] + depths[:, :most, None] * directions[:, None]
    values = look_up(grid, points, side, radius)
    return composite(values[..., 0], values[..., 1:], count, optics.sharpness)


def ray_losses(
    rendered: Float[Tensor, "R 4"], target: Float[Tensor, "R 4"], weight: Float[Tensor, "R"], optics: Optics
) -> Float[Tensor, "R"]:
    """Charbonnier loss of the colour and squared loss of the coverage, per ray."""
    error = rendered - target
    color = ((error[:, :3] ** 2 + optics.charbonnier**2).sqrt() - optics.charbonnier).sum(-1)
    return weight * (optics.rgb_weight * color + optics.mask_weight * error[:, 3] ** 2)
