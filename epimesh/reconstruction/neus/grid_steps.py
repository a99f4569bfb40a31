"""What happens to the grid between renderings: sparse Adam steps, smoothing, and keeping the distance a distance."""

import numpy as np
from numba import prange

from epimesh.reconstruction.compiled import compiled


@compiled(parallel=True)
def adam_step(grid, first, second, buffers, done, rates, damping, iteration):  # type: ignore[no-untyped-def]
    """One Adam step of the touched cells only; clears their gradients.

    Args:
        grid: cells x 4 parameters.
        first: running mean of the gradients.
        second: running mean of their squares.
        buffers: gradients of the lanes and the lists of touched cells.
        done: per cell, the last iteration in which it was stepped.
        rates: learning rate of each channel.
        damping: added to the root of `second`; keeps cells that hardly matter from wandering. One per channel.
        iteration: counts from 0.
    """
    gradients, counts, touched = buffers.gradient, buffers.count, buffers.touched
    lanes, cells = gradients.shape[0], len(grid)
    part = cells // lanes + 1
    mean_bias, square_bias = 1 - 0.9 ** (iteration + 1), 1 - 0.95 ** (iteration + 1)
    for worker in prange(lanes):
        for lane in range(lanes):
            for n in range(counts[lane]):
                cell = touched[lane, n]
                if cell // part != worker or done[cell] == iteration:
                    continue
                done[cell] = iteration
                for channel in range(4):
                    gradient = np.float32(0.0)
                    for each in range(lanes):
                        gradient += gradients[each, cell, channel]
                        gradients[each, cell, channel] = 0.0
                    first[cell, channel] = 0.9 * first[cell, channel] + 0.1 * gradient
                    second[cell, channel] = 0.95 * second[cell, channel] + 0.05 * gradient * gradient
                    root = np.sqrt(second[cell, channel] / square_bias) + damping[channel]
                    grid[cell, channel] -= rates[channel] * first[cell, channel] / (mean_bias * root)


@compiled(parallel=True)
def smooth(grid, side, band, strength, scratch):  # type: ignore[no-untyped-def]
    """One explicit step of biharmonic flow in the band: bumps go, curvature stays.

    Args:
        grid: cells x 4; channel 0 is changed.
        side: cells along each axis.
        band: only cells nearer to the surface than this change.
        strength: below 1/72 for stability.
        scratch: room for one number per cell.
    """
    sheet = side * side
    for i in prange(1, side - 1):
        for j in range(1, side - 1):
            for k in range(1, side - 1):
                cell = (i * side + j) * side + k
                here = grid[cell, 0]
                if abs(here) < 3 * band:
                    around = grid[cell - 1, 0] + grid[cell + 1, 0] + grid[cell - side, 0] + grid[cell + side, 0]
                    scratch[cell] = around + grid[cell - sheet, 0] + grid[cell + sheet, 0] - 6 * here
                else:
                    scratch[cell] = 0.0
    for i in prange(2, side - 2):
        for j in range(2, side - 2):
            for k in range(2, side - 2):
                cell = (i * side + j) * side + k
                if abs(grid[cell, 0]) < band:
                    around = scratch[cell - 1] + scratch[cell + 1] + scratch[cell - side] + scratch[cell + side]
                    around += scratch[cell - sheet] + scratch[cell + sheet]
                    grid[cell, 0] -= strength * (around - 6 * scratch[cell])


@compiled()
def _upwind(grid, cell, stride, sign):  # type: ignore[no-untyped-def]
    """Squared slope towards the surface along one axis (Godunov)."""
    here = grid[cell, 0]
    back = sign * (here - grid[cell - stride, 0])
    ahead = sign * (grid[cell + stride, 0] - here)
    slope = max(max(back, 0.0), -min(ahead, 0.0))
    return slope * slope


@compiled()
def _crosses(grid, cell, side):  # type: ignore[no-untyped-def]
    """Whether the surface passes between this cell and one of its six neighbours."""
    inside = grid[cell, 0] < 0
    sheet = side * side
    return (
        (grid[cell - 1, 0] < 0) != inside
        or (grid[cell + 1, 0] < 0) != inside
        or (grid[cell - side, 0] < 0) != inside
        or (grid[cell + side, 0] < 0) != inside
        or (grid[cell - sheet, 0] < 0) != inside
        or (grid[cell + sheet, 0] < 0) != inside
    )


@compiled(parallel=True)
def redistance(grid, side, spacing, reach, scratch):  # type: ignore[no-untyped-def]
    """One step that makes the slope of the distance 1 again, without moving the surface.

    Cells next to the surface are scaled by their own slope; the others follow by one upwind step.

    Args:
        grid: cells x 4; channel 0 is changed.
        side: cells along each axis.
        spacing: between cells, in scene units.
        reach: cells farther from the surface than this stay as they are.
        scratch: room for one number per cell.
    """
    sheet = side * side
    for i in prange(1, side - 1):
        for j in range(1, side - 1):
            for k in range(1, side - 1):
                cell = (i * side + j) * side + k
                here = grid[cell, 0]
                scratch[cell] = here
                if abs(here) > reach:
                    continue
                if _crosses(grid, cell, side):
                    x = grid[cell + sheet, 0] - grid[cell - sheet, 0]
                    y = grid[cell + side, 0] - grid[cell - side, 0]
                    z = grid[cell + 1, 0] - grid[cell - 1, 0]
                    slope = np.sqrt(x * x + y * y + z * z) / (2 * spacing)
                    scratch[cell] = here * (0.5 + 0.5 / min(max(slope, 0.5), 2.0))
                else:
                    sign = 1.0 if here > 0 else -1.0
                    squared = _upwind(grid, cell, sheet, sign) + _upwind(grid, cell, side, sign)
                    squared += _upwind(grid, cell, 1, sign)
                    changed = here - 0.45 * sign * (np.sqrt(squared) - spacing)
                    scratch[cell] = max(changed, 0.0) if here > 0 else min(changed, 0.0)
    for i in prange(1, side - 1):
        for j in range(1, side - 1):
            for k in range(1, side - 1):
                cell = (i * side + j) * side + k
                grid[cell, 0] = scratch[cell]
