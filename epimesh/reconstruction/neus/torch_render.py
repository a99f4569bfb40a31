"""The kernel's mathematics in plain PyTorch: the reference of the tests, and what runs on a GPU."""

from itertools import product
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from epimesh.reconstruction.neus.kernel import HIT, most_samples
from epimesh.reconstruction.neus.rays import Optics


class Image(NamedTuple):
    """What rays show: colours on white and coverage, and the sums of the slopes of the distance, not of unit length."""

    pixels: Float[Tensor, "R 4"]
    normals: Float[Tensor, "R 3"]


def look_up(
    grid: Float[Tensor, "cells C"], points: Float[Tensor, "*shape 3"], side: int, radius: float
) -> Float[Tensor, "*shape C"]:
    """Trilinear values of the grid (side^3 cells, z fastest) at world points."""
    cell, share = _located(points, side, radius)
    total = grid.new_zeros(*points.shape[:-1], grid.shape[1])
    for corner in product((0, 1), repeat=3):
        weight = _along_axes(share, corner).prod(-1, keepdim=True)
        total = total + weight * grid[cell + _offset(corner, side)]
    return total


def slopes(
    distance: Float[Tensor, "cells"], points: Float[Tensor, "*shape 3"], side: int, radius: float
) -> Float[Tensor, "*shape 3"]:
    """Slopes of the trilinear distance at world points, each within its own cell."""
    cell, share = _located(points, side, radius)
    total = distance.new_zeros(points.shape)
    for corner in product((0, 1), repeat=3):
        a, b, c = _along_axes(share, corner).unbind(-1)
        sign = 2 * torch.tensor(corner, device=share.device) - 1
        change = sign * torch.stack([b * c, a * c, a * b], dim=-1)
        total = total + change * distance[cell + _offset(corner, side)][..., None]
    return total * ((side - 1) / (2 * radius))


def _located(points: Tensor, side: int, radius: float) -> tuple[Tensor, Tensor]:
    """The cell below every point, and how far the point is into it along each axis."""
    position = ((points + radius) * ((side - 1) / (2 * radius))).clamp(0, side - 1.001)
    low = position.floor()
    i, j, k = low.long().unbind(-1)
    return (i * side + j) * side + k, position - low


def _along_axes(share: Tensor, corner: tuple[int, ...]) -> Tensor:
    return torch.where(torch.tensor(corner, dtype=torch.bool, device=share.device), share, 1 - share)


def _offset(corner: tuple[int, ...], side: int) -> int:
    return (corner[0] * side + corner[1]) * side + corner[2]


@torch.no_grad()
def march(
    grid: Float[Tensor, "cells 4"],
    origins: Float[Tensor, "R 3"],
    directions: Float[Tensor, "R 3"],
    *,
    side: int,
    radius: float,
    optics: Optics,
) -> tuple[Float[Tensor, "R S"], Int[Tensor, "R"]]:
    """Depths of the section ends along every ray, and how many there are."""
    slope = torch.where(directions.abs() < 1e-9, torch.full_like(directions, 1e-9), directions)
    walls = torch.stack([(-radius - origins) / slope, (radius - origins) / slope])
    t = walls.amin(0).amax(-1).clamp_min(0) + optics.jitter * optics.step
    far = walls.amax(0).amin(-1)
    depths = torch.zeros(len(origins), most_samples(radius, optics.step), device=grid.device)
    count = torch.zeros(len(origins), dtype=torch.long, device=grid.device)
    alive = torch.ones_like(count, dtype=torch.bool)
    rows = torch.arange(len(origins), device=grid.device)
    while True:
        alive &= t < far
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
) -> Float[Tensor, "R sections"]:
    """How much of each ray's light is stopped in each of its sections, which end at samples with these distances.

    Source:
        Wang et al., "NeuS" (arXiv:2106.10689), equation 13: alpha = max((Phi_i - Phi_{i+1}) / Phi_i, 0).
    """
    log_phi = torch.nn.functional.logsigmoid(sharpness * distance)
    kept = (log_phi[:, 1:] - log_phi[:, :-1]).clamp_max(0)
    real = torch.arange(distance.shape[1] - 1, device=distance.device) < (count - 1)[:, None]
    through = torch.where(real, kept, torch.zeros_like(kept)).cumsum(-1).exp()
    before = torch.cat([torch.ones_like(through[:, :1]), through[:, :-1]], dim=-1)
    return before - through


def composite(
    distance: Float[Tensor, "R S"],
    color: Float[Tensor, "R S 3"],
    slope: Float[Tensor, "R S 3"],
    count: Int[Tensor, "R"],
    sharpness: Tensor | float,
) -> Image:
    """What rays show whose sections end at samples with these distances, colours and slopes of the distance."""
    weight = section_weights(distance, count, sharpness)[..., None]
    shade, normal = ((weight * (part[:, 1:] + part[:, :-1]) / 2).sum(1) for part in (color, slope))
    covered = weight.sum(1)
    return Image(torch.cat([shade + 1 - covered, covered], dim=-1), normal)


def rendered(
    grid: Float[Tensor, "cells 4"],
    origins: Float[Tensor, "R 3"],
    directions: Float[Tensor, "R 3"],
    *,
    side: int,
    radius: float,
    optics: Optics,
    sharpness: Tensor | None = None,
) -> Image:
    """What rays show, differentiable by the grid, and by the sharpness where it is given beside the optics."""
    depths, count = march(grid, origins, directions, side=side, radius=radius, optics=optics)
    most = max(2, int(count.max()))
    real = torch.arange(most, device=grid.device) < count[:, None]
    # Only real samples are looked up: one ray along a flat face has as many as a hundred others together.
    points = (origins[:, None] + depths[:, :most, None] * directions[:, None])[real]
    values, slope = grid.new_zeros(*real.shape, 4), grid.new_zeros(*real.shape, 3)
    values[real] = look_up(grid, points, side, radius)
    if optics.normal_weight > 0:
        slope[real] = slopes(grid[:, 0], points, side, radius)
    return composite(
        values[..., 0], values[..., 1:], slope, count, optics.sharpness if sharpness is None else sharpness
    )


def normal_errors(image: Image, facing: Float[Tensor, "R 4"]) -> Float[Tensor, "R"]:
    """How wrong the normals are, 1 - cosine, times what they count; -1 where a ray passes by or should show none."""
    cosine = (torch.nn.functional.normalize(image.normals, dim=-1, eps=1e-6) * facing[:, :3]).sum(-1)
    shown = (facing[:, 3] > 0) & (image.pixels[:, 3] > HIT)
    return torch.where(shown, facing[:, 3] * (1 - cosine), torch.full_like(cosine, -1.0))


def ray_losses(
    image: Image, target: Float[Tensor, "R 4"], weight: Float[Tensor, "R"], facing: Float[Tensor, "R 4"], optics: Optics
) -> Float[Tensor, "R"]:
    """Charbonnier loss of the colour, squared loss of the coverage and the loss of the normal, per ray."""
    error = image.pixels - target
    color = ((error[:, :3] ** 2 + optics.charbonnier**2).sqrt() - optics.charbonnier).sum(-1)
    loss = optics.rgb_weight * color + optics.mask_weight * error[:, 3] ** 2
    if optics.normal_weight > 0:
        turned = normal_errors(image, facing)
        counts = (turned >= 0) & (turned <= optics.normal_limit)
        loss = loss + optics.normal_weight * torch.where(counts, turned, torch.zeros_like(turned))
    return weight * loss
