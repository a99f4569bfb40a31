"""The grid on any PyTorch device: the same steps as the compiled loops, by autograd and whole-grid arithmetic."""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from epimesh.reconstruction.neus.engine import Judged
from epimesh.reconstruction.neus.rays import Optics, Rays
from epimesh.reconstruction.neus.torch_render import normal_errors, ray_losses, rendered

Volume = Float[Tensor, "_ _ _"]  # a grid, or the inner part of one


class TorchEngine:
    """See `epimesh.reconstruction.neus.engine.Engine`.

    Args:
        grid: side^3 x 4 start values; not changed.
        side: grid points along each axis.
        radius: half side of the cube, in scene units.
        device: where to compute.
    """

    def __init__(self, grid: NDArray[np.float32], side: int, radius: float, device: str) -> None:
        self.side, self.radius = side, radius
        self._grid = torch.from_numpy(grid.copy()).to(device)
        self._first, self._second = torch.zeros_like(self._grid), torch.zeros_like(self._grid)
        self._iteration = 0

    def learn(self, rays: Rays, optics: Optics, rates: NDArray[np.float32], damping: NDArray[np.float32]) -> Judged:
        device = self._grid.device
        origins, directions, target, weight, facing = (torch.from_numpy(np.asarray(part)).to(device) for part in rays)
        grid = self._grid.detach().requires_grad_()
        image = rendered(grid, origins, directions, side=self.side, radius=self.radius, optics=optics)
        losses = ray_losses(image, target, weight, facing, optics)
        (gradient,) = torch.autograd.grad(losses.sum(), grid)
        self._iteration += 1
        self._adam(gradient, torch.from_numpy(rates).to(device), torch.from_numpy(damping).to(device))
        errors = normal_errors(image, facing).detach() if optics.normal_weight > 0 else facing.new_zeros(0)
        return Judged(float(losses.detach().mean()), errors[errors >= 0].cpu().numpy())

    @torch.no_grad()
    def _adam(self, gradient: Float[Tensor, "cells 4"], rates: Float[Tensor, "4"], damping: Float[Tensor, "4"]) -> None:
        """Adam of the touched cells only, as `grid_steps.adam_step`."""
        touched = (gradient != 0).any(-1)
        step = gradient[touched]
        first = self._first[touched].mul_(0.9).add_(step, alpha=0.1)
        second = self._second[touched].mul_(0.95).addcmul_(step, step, value=0.05)
        self._first[touched], self._second[touched] = first, second
        root = (second / (1 - 0.95**self._iteration)).sqrt() + damping
        self._grid[touched] -= rates * first / ((1 - 0.9**self._iteration) * root)

    @torch.no_grad()
    def smooth(self, band: float, strength: float, crease: NDArray[np.float32]) -> None:
        field = self._distances()
        curvature = torch.zeros_like(field)
        inner = field[1:-1, 1:-1, 1:-1]
        curvature[1:-1, 1:-1, 1:-1] = torch.where(inner.abs() < 3 * band, _laplacian(field), torch.zeros_like(inner))
        core = field[2:-2, 2:-2, 2:-2]
        change = strength * _laplacian(curvature)[1:-1, 1:-1, 1:-1]
        nearby = [curvature[1:-1, 1:-1, 1:-1], *(side for axis in range(3) for side in _neighbours(curvature, axis))]
        steepest = torch.stack(nearby).abs().amax(0)[1:-1, 1:-1, 1:-1]
        limit = torch.from_numpy(crease).to(core.device).view_as(field)
        smoothable = (core.abs() < band) & (steepest < limit[2:-2, 2:-2, 2:-2])
        core -= torch.where(smoothable, change, torch.zeros_like(change))

    @torch.no_grad()
    def redistance(self, reach: float) -> None:
        field = self._distances()
        spacing = 2 * self.radius / (self.side - 1)
        here = field[1:-1, 1:-1, 1:-1]
        at_surface, near = _near_surface(field, spacing)
        changed = torch.where(near, at_surface, _upwind(field, spacing))
        here.copy_(torch.where(here.abs() > reach, here, changed))

    def values(self) -> NDArray[np.float32]:
        return self._grid.cpu().numpy()

    def _distances(self) -> Volume:
        return self._grid[:, 0].view(self.side, self.side, self.side)


def _neighbours(field: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The values one cell back and one cell ahead along an axis, for all cells that are not at the border."""
    inner = [slice(1, -1)] * 3
    back, ahead = list(inner), list(inner)
    back[axis], ahead[axis] = slice(None, -2), slice(2, None)
    return field[tuple(back)], field[tuple(ahead)]


def _laplacian(field: Volume) -> Volume:
    pairs = [_neighbours(field, axis) for axis in range(3)]
    return torch.stack([side for pair in pairs for side in pair]).sum(0) - 6 * field[1:-1, 1:-1, 1:-1]


def _near_surface(field: Volume, spacing: float) -> tuple[Volume, Tensor]:
    """Cells next to the surface, half way to slope 1, and which they are. See `grid_steps._slope_at_surface`."""
    here = field[1:-1, 1:-1, 1:-1]
    squared, near = torch.zeros_like(here), torch.zeros_like(here, dtype=torch.bool)
    for axis in range(3):
        back, ahead = _neighbours(field, axis)
        edges = [torch.where((there < 0) != (here < 0), (here - there).abs(), 0.0) for there in (back, ahead)]
        edge, across = torch.maximum(*edges), (ahead - back).abs() / 2
        squared += torch.where(edge > 0, (across + edge) / 2, across) ** 2
        near |= edge > 0
    return here * (0.5 + 0.5 / (squared.sqrt() / spacing).clamp(0.5, 2)), near


def _upwind(field: Volume, spacing: float) -> Volume:
    """Cells farther away, by one upwind step (Godunov); never across the surface."""
    here = field[1:-1, 1:-1, 1:-1]
    sign = torch.where(here > 0, 1.0, -1.0)
    squared = torch.zeros_like(here)
    for axis in range(3):
        back, ahead = _neighbours(field, axis)
        squared += torch.maximum((sign * (here - back)).clamp_min(0), -(sign * (ahead - here)).clamp_max(0)) ** 2
    changed = here - 0.45 * sign * (squared.sqrt() - spacing)
    return torch.where(here > 0, changed.clamp_min(0), changed.clamp_max(0))
