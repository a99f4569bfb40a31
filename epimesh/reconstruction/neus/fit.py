"""The optimisation of one level: a fixed schedule of sharpness, Adam on what the rays touch, and smoothing."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epimesh.reconstruction.neus.engine import Engine
from epimesh.reconstruction.neus.ray_pool import RayPool
from epimesh.reconstruction.neus.rays import Optics

BAND = 5.0  # in 1 / sharpness: beyond it the logistic function is flat
STEP = 1.0  # in 1 / sharpness: length of a section, but no less than
SHORTEST_STEP = 0.3  # cells: the grid holds nothing finer
STABLE = 0.01  # largest strength of one explicit step of the biharmonic flow (the limit is 1/72)


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
        final_rate: factor of both rates at the end; they fall in the second half.
        rgb_weight: of the colour loss.
        mask_weight: of the coverage loss.
        normal_weight: of the loss of the normals, where the rays have any.
        normal_outliers: share of the normals, those that fit worst, that is left out.
        charbonnier: colour error below which the loss is quadratic.
        damping: of Adam's step of the distances; cells with gradients below about this (per ray of a batch, times s)
            move less than the learning rate.
        color_damping: the same of the colours.
        smoothing: strength of the biharmonic flow.
        crease: sum of the second differences, per cell, above which the flow stops: at edges and inside thin parts.
    """

    iterations: int
    rays: int
    first_sharpness: float = 3.0
    last_sharpness: float = 12.0
    distance_rate: float = 0.1
    color_rate: float = 0.15
    final_rate: float = 0.1
    rgb_weight: float = 1.0
    mask_weight: float = 1.0
    normal_weight: float = 0.0
    normal_outliers: float = 0.2
    charbonnier: float = 0.02
    damping: float = 0.15
    color_damping: float = 0.3
    smoothing: float = 0.05
    crease: float = 0.5


def fit(
    engine: Engine, pool: RayPool, schedule: Schedule, seed: int, doubted: NDArray[np.bool_] | None = None
) -> Iterator[float]:
    """Optimises the grid of `engine`; yields the mean loss of every iteration.

    Creases are noise where views contradict each other: `doubted` cells, side^3, are smoothed all the same.
    """
    spacing = 2 * engine.radius / (engine.side - 1)
    crease = np.full(engine.side**3, schedule.crease * spacing, np.float32)
    if doubted is not None:
        crease[doubted] = np.inf
    jitter = np.random.default_rng(seed).random(schedule.iterations)
    growth = schedule.last_sharpness / schedule.first_sharpness
    limit = np.inf  # of the normals' errors; the worst of one batch tell where those of the next begin
    for iteration in range(schedule.iterations):
        progress = iteration / max(1, schedule.iterations - 1)
        sharpness = schedule.first_sharpness * growth**progress / spacing
        fade = schedule.final_rate ** max(0.0, 2 * progress - 1)
        optics = Optics(
            sharpness,
            BAND / sharpness,
            max(STEP / sharpness, SHORTEST_STEP * spacing),
            jitter[iteration],
            schedule.rgb_weight,
            schedule.mask_weight,
            schedule.charbonnier,
            schedule.normal_weight,
            limit,
        )
        rates = np.array([schedule.distance_rate * spacing] + [schedule.color_rate] * 3, np.float32) * np.float32(fade)
        damping = np.array([schedule.damping * sharpness] + [schedule.color_damping] * 3, np.float32)
        loss, normal_errors = engine.learn(pool.batch(iteration, schedule.rays), optics, rates, damping)
        if len(normal_errors) > 0:
            limit = float(np.quantile(normal_errors, 1 - schedule.normal_outliers))
        yield loss
        if iteration % 4 == 3 and schedule.smoothing > 0:
            engine.smooth(4 * spacing, min(schedule.smoothing * fade, STABLE), crease)
        if iteration % 8 == 7:
            engine.redistance(max(6 * spacing, BAND / sharpness + 2 * spacing))
