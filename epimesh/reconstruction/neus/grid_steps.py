"""What happens to the grid between renderings: sparse Adam steps, smoothing, and keeping the distance a distance."""

import numpy as np
from numba import prange

from epimesh.compiled import compiled


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
    gradients, counts, touched = buffers.gradient, buffers.counts, buffers.touched
    lanes, cells = gradients.shape[0], len(grid)
    part = cells // lanes + 1
    mean_bias, square_bias = 1 - 0.9 ** (iteration + 1), 1 - 0.95 ** (iteration + 1)
    for worker in prange(lanes):
        start, end = worker * part, (worker + 1) * part
        for lane in range(lanes):
            for n in range(counts[lane]):
                cell = touched[lane, n]
                if cell < start or cell >= end or done[cell] == iteration:
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


@compiled()
def _around(values, cell, side):  # type: ignore[no-untyped-def]
    """Sum of the six neighbours less six times the cell itself."""
    sheet = side * side
    total = values[cell - 1] + values[cell + 1] + values[cell - side] + values[cell + side]
    return total + values[cell - sheet] + values[cell + sheet] - 6 * values[cell]


@compiled()
def _is_round(laplacian, cell, side, crease):  # type: ignore[no-untyped-def]
    """False at and beside creases of the distance: edges, and the middles of thin parts."""
    sheet = side * side
    most = max(abs(laplacian[cell]), abs(laplacian[cell - 1]), abs(laplacian[cell + 1]))
    most = max(most, abs(laplacian[cell - side]), abs(laplacian[cell + side]))
    return max(most, abs(laplacian[cell - sheet]), abs(laplacian[cell + sheet])) < crease[cell]


@compiled(parallel=True)
def smooth(grid, side, band, strength, crease, scratch):  # type: ignore[no-untyped-def]
    """One explicit step of biharmonic flow in the band: bumps go, curvature stays.

    The distance has creases at edges and in the middle of thin parts. Smoothing those would round the edges and swell
    the thin parts, so the flow stops there.

    Args:
        grid: cells x 4; channel 0 is changed.
        side: cells along each axis.
        band: only cells nearer to the surface than this change.
        strength: below 1/72 for stability.
        crease: per cell, the sum of second differences, in scene units, at or beside which it stays as it is.
        scratch: room for one number per cell.
    """
    distances = grid[:, 0]
    for i in prange(1, side - 1):
        for j in range(1, side - 1):
            for cell in range((i * side + j) * side + 1, (i * side + j) * side + side - 1):
                scratch[cell] = _around(distances, cell, side) if abs(distances[cell]) < 3 * band else 0.0
    for i in prange(2, side - 2):
        for j in range(2, side - 2):
            for cell in range((i * side + j) * side + 2, (i * side + j) * side + side - 2):
                if abs(distances[cell]) < band and _is_round(scratch, cell, side, crease):
                    distances[cell] -= strength * _around(scratch, cell, side)


@compiled()
def _upwind(grid, cell, stride, sign):  # type: ignore[no-untyped-def]
    """Squared slope towards the surface along one axis (Godunov)."""
    here = grid[cell, 0]
    back = sign * (here - grid[cell - stride, 0])
    ahead = sign * (grid[cell + stride, 0] - here)
    slope = max(max(back, 0.0), -min(ahead, 0.0))
    return slope * slope


@compiled()
def _slope_at_surface(grid, cell, stride):  # type: ignore[no-untyped-def]
    """Slope along one axis, per cell, and whether the surface cuts an edge there.

    The mean of the slope across the cell and of the steeper cut edge: the first alone lets a cell run away, because it
    does not depend on the cell's own value; the second alone makes round things shrink.
    """
    here, back, ahead = grid[cell, 0], grid[cell - stride, 0], grid[cell + stride, 0]
    edge = 0.0
    if (back < 0) != (here < 0):
        edge = abs(here - back)
    if (ahead < 0) != (here < 0):
        edge = max(edge, abs(ahead - here))
    across = 0.5 * abs(ahead - back)
    return (0.5 * (across + edge), True) if edge > 0 else (across, False)


@compiled()
def _redistanced(grid, cell, side, spacing):  # type: ignore[no-untyped-def]
    """The distance of one cell, closer to having slope 1, with the same sign."""
    here = grid[cell, 0]
    x, cut_x = _slope_at_surface(grid, cell, side * side)
    y, cut_y = _slope_at_surface(grid, cell, side)
    z, cut_z = _slope_at_surface(grid, cell, 1)
    if cut_x or cut_y or cut_z:
        return here * (0.5 + 0.5 / min(max(np.sqrt(x * x + y * y + z * z) / spacing, 0.5), 2.0))
    sign = 1.0 if here > 0 else -1.0
    squared = _upwind(grid, cell, side * side, sign) + _upwind(grid, cell, side, sign) + _upwind(grid, cell, 1, sign)
    changed = here - 0.45 * sign * (np.sqrt(squared) - spacing)
    return max(changed, 0.0) if here > 0 else min(changed, 0.0)


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
    for i in prange(1, side - 1):
        for j in range(1, side - 1):
            for cell in range((i * side + j) * side + 1, (i * side + j) * side + side - 1):
                near = abs(grid[cell, 0]) <= reach
                scratch[cell] = _redistanced(grid, cell, side, spacing) if near else grid[cell, 0]
    for i in prange(1, side - 1):
        for j in range(1, side - 1):
            for cell in range((i * side + j) * side + 1, (i * side + j) * side + side - 1):
                grid[cell, 0] = scratch[cell]
