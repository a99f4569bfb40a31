"""The layers of Stable Video Diffusion's decoder on all views at once, or on one after the other to save memory.

Maps are a list: of one tensor with all views, or of one tensor per view. Layers replace its items in turn, so the map
of a view is let go before the next view's is made. Convolutions over pixels, their norms and attention look at one view
and need no more. Convolutions over time look at one pixel of all views and their norms at everything, so they run band
by band of rows, with the statistics of the norms gathered on a first way through: the same sums in another order.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from diffusers.models.resnet import SpatioTemporalResBlock, TemporalResnetBlock
from jaxtyping import Float
from torch import Tensor, nn

from epimesh.decoders.epipolar.attention import MAX_BYTES

_ATTENTION_AT_WORK = 4  # maps of one view: its change, in parts and whole, and what it is added to
_CONVOLUTION_AT_WORK = 5  # maps of one view: input, normalised, activated, convolved, and what a convolution copies
_MAPS_AT_WORK = 5  # that a band is held as: what was there, normalised, activated, convolved, mixed


def each(layer: Callable[[Tensor], Tensor], maps: list[Tensor]) -> None:
    """Runs a layer that looks at one view only."""
    for index in range(len(maps)):
        maps[index] = layer(maps[index])


def joined(maps: list[Tensor]) -> Float[Tensor, "V C h w"]:
    """The maps of all views in one tensor. The list is empty then, so that they are held once."""
    whole = maps[0] if len(maps) == 1 else torch.cat(maps)
    maps.clear()
    return whole


def residual_by_view(block: SpatioTemporalResBlock, maps: list[Tensor], max_bytes: int) -> None:
    """Runs a residual block over pixels and time on one map per view. Without gradients.

    Args:
        block: of the decoder.
        maps: one tensor per view.
        max_bytes: how much bands in work may take; a row of all views is the least.
    """
    each(lambda view: block.spatial_res_block(view, None), maps)
    still = maps[0].new_zeros(1, len(maps))
    row_bytes = _MAPS_AT_WORK * sum(view[:, :, 0].nbytes for view in maps)
    rows, height = max(1, max_bytes // row_bytes), maps[0].shape[2]
    bands = [slice(top, top + rows) for top in range(0, height, rows)]
    temporal = _temporal(block.temporal_res_block, lambda: (_band(maps, band) for band in bands))
    for band in bands:
        before = _band(maps, band)
        mixed = block.time_mixer(before, temporal(before), still)
        for view, changed in zip(maps, mixed[0].unbind(1), strict=True):
            view[0, :, band] = changed


def needed_bytes(channels: Sequence[int], slots: int, views: int, pixels: int, item_bytes: int) -> int:
    """What decoding one view after the other holds at its widest, beside the weights: an estimate from above.

    Args:
        channels: of the up-blocks, from the finest to the coarsest.
        slots: how many maps every view looks at.
        views: to be decoded together.
        pixels: of an image.
        item_bytes: of a number.
    """
    numbers = []
    for level, width in enumerate(channels):
        cells = pixels // 4**level
        coarser = channels[min(level + 1, len(channels) - 1)]
        numbers.append(width * cells * (2 * views + slots + _ATTENTION_AT_WORK))  # maps and tokens of all views
        numbers.append(coarser * cells * (views + views / 4 + _CONVOLUTION_AT_WORK))  # before and after the upsampler
    return round(item_bytes * max(numbers)) + MAX_BYTES


def _band(maps: list[Tensor], rows: slice) -> Float[Tensor, "1 C V r w"]:
    """Some rows of all views."""
    return torch.cat([view[:, :, rows] for view in maps]).transpose(0, 1)[None]


def _temporal(block: TemporalResnetBlock, bands: Callable[[], Iterable[Tensor]]) -> Callable[[Tensor], Tensor]:
    """The block over time as a function of one band, for maps that consist of these bands."""
    first = _normalised(block.norm1, bands())

    def halfway(band: Tensor) -> Tensor:
        return block.conv1(block.nonlinearity(first(band)))

    second = _normalised(block.norm2, (halfway(band) for band in bands()))
    return lambda band: band + block.conv2(block.nonlinearity(second(halfway(band))))


@dataclass(frozen=True, eq=False)
class _Affine:
    """A group norm whose statistics are known: a factor and a summand per channel."""

    scale: Float[Tensor, "C 1 1 1"]
    shift: Float[Tensor, "C 1 1 1"]

    def __call__(self, band: Float[Tensor, "1 C V r w"]) -> Float[Tensor, "1 C V r w"]:
        return torch.addcmul(self.shift, band.to(self.scale), self.scale).to(band)


def _normalised(norm: nn.GroupNorm, bands: Iterable[Float[Tensor, "1 C V r w"]]) -> _Affine:
    """The norm on maps that come in bands. The variance is that within bands and that of their means."""
    variances, means, sizes = [], [], []
    for band in bands:
        exact = torch.promote_types(band.dtype, torch.float32)
        variance, mean = torch.var_mean(band.to(exact).reshape(norm.num_groups, -1), dim=1, correction=0)
        variances.append(variance)
        means.append(mean)
        sizes.append(band.numel())
    shares = torch.tensor(sizes).to(means[0])[:, None] / sum(sizes)
    mean = (shares * torch.stack(means)).sum(0)
    variance = (shares * (torch.stack(variances) + (torch.stack(means) - mean).square())).sum(0)
    groups = norm.num_channels // norm.num_groups
    scale = norm.weight.to(mean) * (variance + norm.eps).rsqrt().repeat_interleave(groups)
    shift = norm.bias.to(mean) - mean.repeat_interleave(groups) * scale
    return _Affine(scale[:, None, None, None], shift[:, None, None, None])
