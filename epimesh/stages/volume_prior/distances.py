"""From occupancy to signed distances."""

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import distance_transform_edt, gaussian_filter
from torch import Tensor

_CLIPPED = 4.0  # logits; far inside and outside count alike, so that smoothing moves borders little


def calmed(logits: Float[Tensor, "R R R"], smoothing: float) -> Float[Tensor, "R R R"]:
    """The occupancy without fine bumps; `smoothing` is a deviation in cells."""
    clipped = np.clip(logits.numpy(), -_CLIPPED, _CLIPPED)
    return torch.from_numpy(gaussian_filter(clipped, smoothing))


def signed_distances(logits: Float[Tensor, "R R R"], spacing: float) -> Float[Tensor, "R R R"]:
    """Distance to the border of the occupancy, negative inside, in scene units; exact between cells near the border.

    Args:
        logits: above 0 is inside; nothing at the grid's own border is.
        spacing: between grid points, in scene units.
    """
    field = logits.numpy().copy()
    for axis in range(3):
        field[tuple(slice(None) if n != axis else [0, -1] for n in range(3))] = -_CLIPPED
    inside = field > 0
    whole = distance_transform_edt(~inside) - distance_transform_edt(inside)
    whole -= 0.5 * np.sign(whole)
    slope = np.sqrt(sum(part**2 for part in np.gradient(field)))
    exact = np.clip(-field / np.maximum(slope, 0.2), -2, 2)
    return torch.from_numpy((np.where(np.abs(whole) <= 1.5, exact, whole) * spacing).astype(np.float32))
