"""Where the grid lives and what can be done to it: compiled loops on a CPU, PyTorch elsewhere. Both do the same."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from epimesh.reconstruction.neus.grid_steps import adam_step, redistance, smooth
from epimesh.reconstruction.neus.kernel import render_and_backpropagate
from epimesh.reconstruction.neus.rays import Optics, Rays, make_buffers


class Judged(NamedTuple):
    """How wrong a batch of rays was.

    Args:
        loss: mean of all.
        normal_errors: what `Optics.normal_limit` is compared with, of the rays that show a normal and should.
    """

    loss: float
    normal_errors: NDArray[np.float32]


@runtime_checkable
class Engine(Protocol):
    """A grid of side^3 x 4 values (distance and colour) over the cube of half side `radius`, being optimised."""

    side: int
    radius: float

    def learn(self, rays: Rays, optics: Optics, rates: NDArray[np.float32], damping: NDArray[np.float32]) -> Judged:
        """One Adam step on these rays."""
        ...

    def smooth(self, band: float, strength: float, crease: NDArray[np.float32]) -> None:
        """One step of biharmonic flow where the distance is below `band` and its Laplacian below `crease`, per cell."""
        ...

    def redistance(self, reach: float) -> None:
        """One step that makes the slope of the distance 1 where it is below `reach`."""
        ...

    def values(self) -> NDArray[np.float32]:
        """The grid as it is now, side^3 x 4."""
        ...


class CompiledEngine:
    """Compiled loops over all cores; the result does not depend on their number.

    Args:
        grid: side^3 x 4 start values; not changed.
        side: grid points along each axis.
        radius: half side of the cube, in scene units.
        rays: most rays per step.
    """

    def __init__(self, grid: NDArray[np.float32], side: int, radius: float, rays: int) -> None:
        self.side, self.radius = side, radius
        self._grid = grid.copy()
        self._first, self._second = np.zeros_like(grid), np.zeros_like(grid)
        self._buffers = make_buffers(side, rays)
        self._done, self._scratch = np.full(len(grid), -1, np.int32), np.zeros(len(grid), np.float32)
        self._iteration = 0

    def learn(self, rays: Rays, optics: Optics, rates: NDArray[np.float32], damping: NDArray[np.float32]) -> Judged:
        render_and_backpropagate(self._grid, self.side, self.radius, rays, optics, self._buffers, self._iteration)
        adam_step(self._grid, self._first, self._second, self._buffers, self._done, rates, damping, self._iteration)
        self._iteration += 1
        errors = self._buffers.normal_error[: len(rays.weight)]
        return Judged(float(self._buffers.loss[: len(rays.weight)].mean()), errors[errors >= 0])

    def smooth(self, band: float, strength: float, crease: NDArray[np.float32]) -> None:
        smooth(self._grid, self.side, band, strength, crease, self._scratch)

    def redistance(self, reach: float) -> None:
        redistance(self._grid, self.side, 2 * self.radius / (self.side - 1), reach, self._scratch)

    def values(self) -> NDArray[np.float32]:
        return self._grid


def engine(grid: NDArray[np.float32], side: int, radius: float, rays: int, device: str) -> Engine:
    """The engine for a device, with `grid` as its start."""
    if torch.device(device).type == "cpu":
        return CompiledEngine(grid, side, radius, rays)
    from epimesh.reconstruction.neus.torch_engine import TorchEngine

    return TorchEngine(grid, side, radius, device)
