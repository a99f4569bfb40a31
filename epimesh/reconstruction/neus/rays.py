"""What the inner loop of NeuS is given and what it leaves: rays, how they are judged, and buffers."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LANES = 4  # parts of a batch with gradients of their own


class Rays(NamedTuple):
    """R rays with what they should show.

    Args:
        origins: R x 3.
        directions: unit, R x 3.
        target: colours on white and coverage, R x 4.
        weight: how much each ray counts.
        facing: unit normal of what is seen, and how much it counts beside the rest; R x 4, zero where not known.
    """

    origins: NDArray[np.float32]
    directions: NDArray[np.float32]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]
    facing: NDArray[np.float32]


class Optics(NamedTuple):
    """How rays are rendered and judged. Lengths in scene units.

    Args:
        sharpness: s of the logistic function, 1 / scene unit.
        band: sections are placed where the distance is below this.
        step: length of a section.
        jitter: start of the sections, 0 to 1 of a step.
        rgb_weight: of the Charbonnier loss of the colours.
        mask_weight: of the squared loss of the coverage.
        charbonnier: colour error below which the loss is quadratic.
        normal_weight: of the loss of the normals, 1 - cosine.
        normal_limit: the loss of a normal, times what it counts, from which it is left out.
    """

    sharpness: float
    band: float
    step: float
    jitter: float
    rgb_weight: float
    mask_weight: float
    charbonnier: float
    normal_weight: float = 0.0
    normal_limit: float = np.inf


class Buffers(NamedTuple):
    """Where the kernel writes. `touched[lane, :counts[lane]]` lists the cells that got gradients in this iteration.

    `normal_error` is what `Optics.normal_limit` is compared with, and -1 for rays without a normal.
    """

    gradient: NDArray[np.float32]
    stamp: NDArray[np.int32]
    touched: NDArray[np.int32]
    counts: NDArray[np.int64]
    samples: NDArray[np.int32]
    rendered: NDArray[np.float32]
    loss: NDArray[np.float32]
    normal_error: NDArray[np.float32]
    sharpness_gradient: NDArray[np.float32]


def make_buffers(side: int, rays: int) -> Buffers:
    """Zeroed buffers for a grid of side^3 cells and at most `rays` rays."""
    cells = side**3
    return Buffers(
        gradient=np.zeros((LANES, cells, 4), np.float32),
        stamp=np.full((LANES, cells), -1, np.int32),
        touched=np.zeros((LANES, cells), np.int32),
        counts=np.zeros(LANES, np.int64),
        samples=np.zeros(rays, np.int32),
        rendered=np.zeros((rays, 4), np.float32),
        loss=np.zeros(rays, np.float32),
        normal_error=np.zeros(rays, np.float32),
        sharpness_gradient=np.zeros(rays, np.float32),
    )
