"""The attention of `attention.py`, step by step as its formula says: slow, large, and easy to check."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample, silu

from epimesh.decoders.epipolar.attention import EpipolarAttention
from epimesh.decoders.epipolar.geometry import Segments


def literal_attention(
    layer: EpipolarAttention,
    features: Float[Tensor, "V C h w"],
    segments: Segments,
    further: Float[Tensor, "X C h w"] | None = None,
) -> Float[Tensor, "V C h w"]:
    """The same as `layer(features, segments)`."""
    views, _, height, width = features.shape
    tokens = layer.tokens(features, segments, further)
    maps = tokens.transpose(1, 2).unflatten(2, (height, width))

    # Per point, the samples of all sources beside each other.
    place = segments.positions.flatten(1, 2) / segments.positions.new_tensor([width, height]) * 2 - 1
    seen = segments.visible.flatten(1, 2).to(features)
    samples = [
        grid_sample(maps[source], place[..., slot, :].to(maps), align_corners=False) * seen[:, None, ..., slot]
        for slot, source in enumerate(segments.sources.T)
    ]
    points = torch.cat(samples, dim=1).permute(0, 2, 3, 1)
    del samples

    # One aggregate per point, from which every pixel has its own keys and values.
    aggregate = layer.second(silu(layer.first(points)))
    del points
    query = layer.to_query(tokens[:views]).unflatten(-1, (layer.heads, 1, -1))
    key = layer.to_key(aggregate).unflatten(-1, (layer.heads, -1)).transpose(-3, -2)
    value = layer.to_value(aggregate).unflatten(-1, (layer.heads, -1)).transpose(-3, -2)

    point_seen = segments.visible.flatten(1, 2).any(-1)
    pixel_attends = point_seen.any(-1)
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    unseen = ~point_seen & pixel_attends[..., None]  # a pixel that does not attend keeps finite scores
    weights = scores.masked_fill(unseen[:, :, None, None], -torch.inf).softmax(-1)
    change = layer.to_out((weights @ value).flatten(2)) * pixel_attends[..., None]
    return features + change.transpose(1, 2).reshape(features.shape)
