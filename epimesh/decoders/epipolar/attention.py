"""Attention of every pixel to the points of its epipolar segment, without ever building what it attends to.

The formula, for one pixel of the reference view i with points k and sources j (the literal form is in `twin.py`):

    f_jk = sample(F_j, p_jk)                         0 where source j does not see point k
    g_k  = W2 silu(W1 [f_1k; ...; f_Nk] + b1) + b2
    q    = Wq F_i,  K = Wk g,  V = Wv g              F_i += Wo softmax(q K / sqrt(d)) V

Three exact rearrangements make it several times cheaper in time and memory:

* A sample is linear in the map, so W1 = [W1_1 ... W1_N] is applied to whole maps first, once per slot instead of once
  per point; sampling then adds up the slots, and b1 is added once, after the sum. Nothing non-linear may stand between
  sampling and W1: normalisation and rays act on the maps.
* W2 and Wk act on the query instead of on every point: q (Wk W2 h_k) = ((Wk W2)' q) h_k. The biases b2 add the same to
  all scores of a pixel, which softmax does not notice.
* W2 and Wv act on the attended mean instead of on every point, for weights that sum to one.

So keys and values are the hidden layer h itself, shared by all heads. A point that no source sees is not attended to; a
pixel without any such point, or of unknown depth, is not changed.

Source: Tang et al. (arXiv:2408.14016), section 3: depth-truncated epipolar attention. Heads, norm and the zero start
are choices of this project.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from epimesh.decoders.epipolar.geometry import Segments
from epimesh.decoders.epipolar.sampling import sampled_sum

MAX_BYTES = 2**25  # of hidden layers at a time; more is not faster


class EpipolarAttention(nn.Module):
    """Adds to the maps of V views what they find in each other. Adds nothing before its first training step.

    Args:
        channels: d, of the maps, and of all layers within.
        sources: N, maps that each view looks at; the weights of the first layer are tied to it.
        head_channels: channels per head.
        norm_groups: groups of the normalisation of the maps.
    """

    def __init__(self, channels: int, sources: int, *, head_channels: int = 64, norm_groups: int = 32) -> None:
        super().__init__()
        self.heads = max(1, channels // head_channels)
        self.gradient_checkpointing = False  # diffusers' enable_gradient_checkpointing() looks for this
        self.norm = nn.GroupNorm(norm_groups, channels, eps=1e-6)
        self.rays = zeroed(nn.Linear(6, channels, bias=False))  # the norm has a bias already
        self.first = nn.Linear(sources * channels, channels)
        self.second = nn.Linear(channels, channels)
        self.to_query = nn.Linear(channels, channels, bias=False)
        self.to_key = nn.Linear(channels, channels, bias=False)
        self.to_value = nn.Linear(channels, channels, bias=False)
        self.to_out = zeroed(nn.Linear(channels, channels))

    def forward(
        self,
        features: Float[Tensor, "V C h w"],
        segments: Segments,
        *,
        further: Float[Tensor, "X C h w"] | None = None,
        in_place: bool = False,
        max_bytes: int = MAX_BYTES,
    ) -> Float[Tensor, "V C h w"]:
        """The maps, with what was found added.

        Args:
            features: of the reference views.
            segments: where to look.
            further: maps that are only looked at; the segments count them after those of the V views.
            in_place: writes to `features` instead of to new maps; without gradients only.
            max_bytes: how much may be held at a time for pixels in work, without gradients. The result does not depend
                on it.
        """
        tokens, folded = self.tokens(features, segments, further), self.folded()
        room = None if torch.is_grad_enabled() else torch.empty_like(tokens[: segments.sources.shape[1]])
        # New maps have the same memory format: convolutions round by it.
        changed = features if in_place else torch.empty_like(features)
        for view in range(len(features)):
            change = self._checkpointed(view, tokens, segments, folded, room, max_bytes)
            changed[view] = change.T.reshape(features.shape[1:]) + features[view]
        return changed

    def tokens(
        self, features: Float[Tensor, "V C h w"], segments: Segments, further: Float[Tensor, "X C h w"] | None
    ) -> Float[Tensor, "M cells C"]:
        """What is asked and looked at: normalised maps, told the rays of their pixels."""
        maps = [features] if further is None else [features, further]
        tokens = torch.cat([self.norm(part).flatten(2).transpose(1, 2) for part in maps])
        return tokens.add_(self.rays(segments.rays.to(features).flatten(2).transpose(1, 2)))

    def _checkpointed(self, *inputs: Any) -> Float[Tensor, "cells C"]:
        """As `_change`; where memory is dear, computed again on the way back instead of kept."""
        if self.gradient_checkpointing and torch.is_grad_enabled():
            return checkpoint(self._change, *inputs, use_reentrant=False)
        return self._change(*inputs)

    def folded(self) -> "Folded":
        """Weights as they are applied."""
        second = self.second.weight
        return Folded(
            first=self.first.weight.unflatten(1, (-1, len(second))).permute(1, 2, 0),
            key=(self.to_key.weight @ second).unflatten(0, (self.heads, -1)),
            value=(self.to_value.weight @ second).unflatten(0, (self.heads, -1)),
            value_bias=self.to_value.weight @ self.second.bias,
        )

    def _change(
        self,
        view: int,
        tokens: Float[Tensor, "M cells C"],
        segments: Segments,
        folded: "Folded",
        room: Float[Tensor, "N cells C"] | None,
        max_bytes: int,
    ) -> Float[Tensor, "cells C"]:
        """What one reference view gets added."""
        width = segments.positions.shape[2]
        positions, visible = segments.positions[view].flatten(0, 1), segments.visible[view].flatten(0, 1)
        attending = visible.flatten(1).any(1).nonzero()[:, 0]
        asking = tokens[view]
        unchanged = torch.zeros_like(asking)
        if len(attending) == 0:
            return unchanged
        projected = _projected(tokens, segments.sources[view], folded.first, room)
        parts = []
        for pixels in attending.split(self._pixels_at_once(visible, tokens, max_bytes)):
            counts = visible[pixels]
            sums = sampled_sum(projected, positions[pixels].flatten(0, 1), counts.flatten(0, 1), width)
            hidden = nn.functional.silu(sums.add_(self.first.bias)).unflatten(0, (len(pixels), -1))
            parts.append(self._attended(asking[pixels], hidden, counts.any(-1), folded))
        return unchanged.index_copy_(0, attending, torch.cat(parts))

    def _attended(
        self,
        asking: Float[Tensor, "P C"],
        hidden: Float[Tensor, "P S C"],
        seen: Bool[Tensor, "P S"],
        folded: "Folded",
    ) -> Float[Tensor, "P C"]:
        """What pixels find in the hidden layers of their points. The heads are the queries of one attention."""
        query = self.to_query(asking).unflatten(1, (self.heads, -1)).transpose(0, 1)
        mean = nn.functional.scaled_dot_product_attention(
            torch.bmm(query, folded.key).transpose(0, 1)[:, None],
            hidden[:, None],
            hidden[:, None],
            attn_mask=seen[:, None, None],
            scale=query.shape[-1] ** -0.5,
        )
        found = torch.bmm(mean[:, 0].transpose(0, 1), folded.value.transpose(1, 2)).transpose(0, 1).flatten(1)
        return self.to_out(found + folded.value_bias)

    def _pixels_at_once(self, visible: Tensor, tokens: Tensor, max_bytes: int) -> int:
        if torch.is_grad_enabled():
            return len(visible)  # everything is kept for the way back anyway
        _, samples, sources = visible.shape
        channels = tokens.shape[-1]
        # Per point the sum of samples and its activation, and index and weight of every tap; per pixel the queries
        # and means of all heads.
        numbers = samples * (2 * channels + 8 * sources) + 2 * self.heads * channels
        return max(1, max_bytes // (numbers * tokens.element_size()))


class Folded(NamedTuple):
    """Weights as they are applied: W1 by slot, Wk W2 and Wv W2 by head, and Wv b2."""

    first: Float[Tensor, "N C D"]
    key: Float[Tensor, "heads E D"]
    value: Float[Tensor, "heads E D"]
    value_bias: Float[Tensor, "C"]


def _projected(
    tokens: Float[Tensor, "M cells C"],
    sources: Int[Tensor, "N"],
    first: Float[Tensor, "N C D"],
    room: Float[Tensor, "N cells D"] | None,
) -> Float[Tensor, "N cells D"]:
    """The maps of all slots, each through its part of W1; written to `room` where gradients do not forbid that."""
    if room is None:
        return torch.bmm(tokens[sources], first)
    for slot, source in enumerate(sources.tolist()):
        torch.mm(tokens[source], first[slot], out=room[slot])
    return room


def zeroed(layer: nn.Module) -> nn.Module:
    """The layer with all weights zero: it adds nothing until it is trained."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
