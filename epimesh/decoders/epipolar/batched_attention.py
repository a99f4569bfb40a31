"""The attention of `attention.py` for the views of many objects at once: no loop over views, nothing waits for a GPU.

The same formula and the same rearrangements, but maps are sampled slot by slot for all points, also for those of
unknown depth, which are then masked. That wastes some work and keeps a GPU busy; for one object of large maps, the
other form is cheaper.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import conv1d, conv2d, grid_sample, silu

from epimesh.decoders.epipolar.attention import EpipolarAttention
from epimesh.decoders.epipolar.geometry import Segments

_NEVER = -1e4  # a score that softmax turns into zero, in half precision too, and that is no infinity


def dense_attention(
    layer: EpipolarAttention, maps: Float[Tensor, "M C h w"], references: Int[Tensor, "V"], segments: Segments
) -> Float[Tensor, "V C h w"]:
    """The maps of the reference views with what they found in others added; `layer(...)` for many objects.

    Args:
        layer: whose weights are used.
        maps: of all views of all objects, and of what is only looked at.
        references: which maps ask.
        segments: where they look; their sources count all maps.
    """
    tokens = dense_tokens(layer, maps, segments)
    hidden = _hidden(layer, tokens, segments)
    seen = segments.visible.any(-1).flatten(1, 2)
    change = _attended(layer, tokens.index_select(0, references).flatten(2), hidden, seen)
    return maps.index_select(0, references) + change.unflatten(2, maps.shape[2:])


def dense_tokens(
    layer: EpipolarAttention, maps: Float[Tensor, "M C h w"], segments: Segments
) -> Float[Tensor, "M C h w"]:
    """What is asked and looked at, as maps: normalised, told the rays of their pixels."""
    return layer.norm(maps) + conv2d(segments.rays.to(maps), layer.rays.weight[..., None, None])


def _hidden(
    layer: EpipolarAttention, tokens: Float[Tensor, "M C h w"], segments: Segments
) -> Float[Tensor, "V D cells S"]:
    """The hidden layer of every point: the sum of what its sources show there, each through its part of W1."""
    size = segments.positions.new_tensor([tokens.shape[3], tokens.shape[2]])
    weights = layer.first.weight.unflatten(1, (segments.sources.shape[1], -1)).unbind(1)
    total: Tensor | float = 0.0
    for slot, weight in enumerate(weights):
        shown = conv2d(tokens.index_select(0, segments.sources[:, slot]), weight[..., None, None])
        place = segments.positions[..., slot, :].flatten(1, 2) / size * 2 - 1
        # Positions need all their digits, so the samples have them too, and lose them at once.
        exact = torch.promote_types(shown.dtype, torch.float32)
        sample = grid_sample(shown.to(exact), place.to(exact), align_corners=False).to(shown)
        total = total + sample * segments.visible[..., slot].flatten(1, 2)[:, None]
    assert isinstance(total, Tensor)
    return silu(total + layer.first.bias[:, None, None].to(total))


def _attended(
    layer: EpipolarAttention,
    asking: Float[Tensor, "V C cells"],
    hidden: Float[Tensor, "V D cells S"],
    seen: Tensor,
) -> Float[Tensor, "V C cells"]:
    """What pixels find in the hidden layers of their points. Sums over few points and channels, no tiny matrices."""
    folded = layer.folded()
    query = conv1d(asking, layer.to_query.weight[..., None]).unflatten(1, (layer.heads, -1))
    scale = query.shape[2] ** -0.5
    found = []
    for head in range(layer.heads):
        wanted = conv1d(query[:, head], folded.key[head].T[..., None])
        scores = (wanted[..., None] * hidden).sum(1) * scale
        shares = scores.masked_fill(~seen, _NEVER).softmax(-1).to(hidden)
        mean = (shares[:, None] * hidden).sum(-1)
        found.append(conv1d(mean, folded.value[head][..., None]))
    values = torch.cat(found, dim=1) + folded.value_bias[:, None]
    change = conv1d(values, layer.to_out.weight[..., None], layer.to_out.bias)
    return change * seen.any(-1)[:, None]
