"""Sums of bilinear samples from many maps at once.

A bilinear sample is a weighted sum of four rows of a table, and so is a sum of samples from N maps, with 4 N rows.
PyTorch has exactly that operation for bags of word embeddings, with gradients: no intermediate per map or per tap.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def sampled_sum(
    maps: Float[Tensor, "N cells C"], positions: Float[Tensor, "P N 2"], counts: Bool[Tensor, "P N"], width: int
) -> Float[Tensor, "P C"]:
    """For every point, one sample from each map where it counts, summed over the maps.

    Args:
        maps: rows of pixels, `width` to a row; zero beyond their borders.
        positions: (u, v) in pixels, centres at half-integers. Not differentiated.
        counts: samples that are left out are False.
        width: of the maps in pixels.
    """
    cells = maps.shape[1]
    column, column_weight = _neighbours(positions[..., 0], width)
    row, row_weight = _neighbours(positions[..., 1], cells // width)
    first_cell = torch.arange(0, maps.shape[0] * cells, cells, device=maps.device, dtype=torch.int32)[:, None]
    row_weight = row_weight * counts[..., None]
    cell = (row * width + first_cell)[..., :, None] + column[..., None, :]
    weight = row_weight[..., :, None] * column_weight[..., None, :]
    return torch.nn.functional.embedding_bag(
        cell.flatten(1), maps.flatten(0, 1), per_sample_weights=weight.flatten(1).to(maps), mode="sum"
    )


def _neighbours(position: Float[Tensor, "*p"], size: int) -> tuple[Int[Tensor, "*p 2"], Float[Tensor, "*p 2"]]:
    """The two pixels along one axis between whose centres a position lies, and their weights; zero beyond the image."""
    position = (position - 0.5).clamp(-2, size + 1)  # as far outside as need be, and still an integer
    low = position.floor()
    pixel = torch.stack([low, low + 1], dim=-1)
    weight = torch.stack([low + 1 - position, position - low], dim=-1) * ((pixel >= 0) & (pixel < size))
    return pixel.clamp(0, size - 1).int(), weight
