"""The optimisation: coarse to fine, a fixed schedule of sharpness, Adam on what the rays touch, and smoothing."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epimesh.reconstruction.neus.grid_steps import adam_step, redistance, smooth
from epimesh.reconstruction.neus.kernel import Optics, make_buffers, render_and_backpropagate
from epimesh.reconstruction.neus.ray_pool import RayPool

BAND = 5.0  # in 1 / sharpness: beyond it the logistic function is flat
STEP = 1.0  # in 1 / sharpness: length of a section


@dataclass(frozen=True)
class Schedule:
    """How one level is optimised. Lengths in cells.

    Args:
        iterations: number of Adam steps.
        rays: per iteration.
        first_sharpness: s at the start, in 1 / cell.
        last_sharpness: s at the end; grows geometrically in between.
        distance_rate: learning rate of the distances at the start.
        color_rate: learning rate of the colours at the start.
        final_rate: factor of both rates at the end.
        rgb_weight: of the colour loss.
        mask_weight: of the coverage loss.
        charbonnier: colour error below which the loss is quadratic.
        smoothing: strength of the biharmonic flow relative to the learning rate.
    """

    iterations: int
    rays: int
    first_sharpness: float = 0.5
    last_sharpness: float = 1.5
    distance_rate: float = 0.1
    color_rate: float = 0.15
    final_rate: float = 0.1
    rgb_weight: float = 0.5
    mask_weight: float = 1.0
    charbonnier: float = 0.02
    damping: float = 0.3
    color_damping: float = 0.3
    smoothing: float = 0.1


def fit(
    grid: NDArray[np.float32], side: int, radius: float, pool: RayPool, schedule: Schedule
) -> Iterator[float]:
    """Optimises `grid` (side^3 x 4: distance and colour) in place; yields the mean loss of every iteration."""
    spacing = 2 * radius / (side - 1)
    buffers = make_buffers(side, schedule.rays)
    first, second = np.zeros_like(grid), np.zeros_like(grid)
    done, scratch = np.full(len(grid), -1, np.int32), np.zeros(len(grid), np.float32)
    jitter = np.random.default_rng(0).random(schedule.iterations)
    for iteration in range(schedule.iterations):
        progress = iteration / max(1, schedule.iterations - 1)
        sharpness = schedule.first_sharpness * (schedule.last_sharpness / schedule.first_sharpness) ** progress / spacing
        rate = schedule.final_rate ** max(0.0, 2 * progress - 1)
        optics = Optics(
            sharpness,
            BAND / sharpness,
            STEP / sharpness,
            jitter[iteration],
            schedule.rgb_weight,
            schedule.mask_weight,
            schedule.charbonnier,
        )
        render_and_backpropagate(grid, side, radius, pool.batch(iteration, schedule.rays), optics, buffers, iteration)
        rates = np.array([schedule.distance_rate * spacing] + [schedule.color_rate] * 3, np.float32) * np.float32(rate)
        damping = np.array([schedule.damping * sharpness] + [schedule.color_damping] * 3, np.float32)
        adam_step(grid, first, second, buffers, done, rates, damping, iteration)
        if iteration % 4 == 3:
            smooth(grid, side, 4 * spacing, min(schedule.smoothing * rate, 0.01), scratch)
        if iteration % 8 == 7:
            redistance(grid, side, spacing, max(6 * spacing, BAND / sharpness + 2 * spacing), scratch)
        yield float(buffers.loss.mean())
