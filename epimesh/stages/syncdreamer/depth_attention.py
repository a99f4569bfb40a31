"""Every pixel of a UNet's feature map attends to the samples along its own ray, and to nothing else."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from epimesh.stages.syncdreamer.blocks import GROUPS

HEADS = 4


class DepthAttention(nn.Module):
    """Attention over the depths of each pixel's ray, added to the feature map.

    Keys and values are linear in the samples, so the projections are moved to the query's side and behind the weighted
    sum: they run once per pixel instead of once per sample, with the same result.

    Args:
        channels: of the feature map.
        context: channels of the samples; heads have half as many each.

    Source:
        Liu et al., "SyncDreamer" (arXiv:2309.03453), section 3.3, depth-wise attention.
    """

    def __init__(self, channels: int, context: int) -> None:
        super().__init__()
        inner = HEADS * (context // 2)
        self.conv_in = nn.Conv2d(channels, inner, 1)
        self.norm_in = nn.GroupNorm(GROUPS, inner)
        self.context = nn.Conv3d(context, context, 1, bias=False)
        self.norm_context = nn.GroupNorm(GROUPS, context)
        self.to_q = nn.Conv2d(inner, inner, 1, bias=False)
        self.to_k = nn.Conv3d(context, inner, 1, bias=False)
        self.to_v = nn.Conv3d(context, inner, 1, bias=False)
        self.to_out = nn.Conv2d(inner, inner, 1, bias=False)
        self.norm1 = nn.GroupNorm(GROUPS, inner)
        self.conv1 = nn.Conv2d(inner, inner, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(GROUPS, inner)
        self.conv2 = nn.Conv2d(inner, channels, 3, padding=1, bias=False)
        nn.init.zeros_(self.conv2.weight)  # so that a new layer changes nothing

    def forward(
        self, x: Float[Tensor, "R C h w"], rays: Float[Tensor, "V K d h w"], seeing: Sequence[bool]
    ) -> Float[Tensor, "R C h w"]:
        """The feature map with what was found added.

        Args:
            x: rows are branches of guidance, then views.
            rays: samples of the views, shared by the branches.
            seeing: of every branch, whether it sees the volume; the others see zeros instead.
        """
        branches = x.unflatten(0, (len(seeing), len(rays)))
        found = []
        samples = self.samples(along(rays)) if any(seeing) else rays
        for sees, branch in zip(seeing, branches, strict=True):
            attended = self.attended(branch, samples) if sees else self._nothing(branch)
            found.append(branch + self._out(attended))
        return torch.cat(found)

    def samples(self, rays: Float[Tensor, "V h w d K"]) -> Float[Tensor, "V h w d K"]:
        """The samples as keys and values are computed from."""
        mixed = F.linear(rays, self.context.weight.flatten(1))
        # The norm sees an image with channels last, which it takes as it lies in memory.
        image = mixed.flatten(1, 3)[:, :, None].permute(0, 3, 1, 2)
        return F.relu(self.norm_context(image)).permute(0, 2, 3, 1).reshape(rays.shape)

    def attended(self, x: Float[Tensor, "V C h w"], samples: Float[Tensor, "V h w d K"]) -> Float[Tensor, "V I h w"]:
        """What every pixel reads off its ray."""
        query = self.to_q(F.silu(self.norm_in(self.conv_in(x)))).unflatten(1, (HEADS, -1))
        key, value = (self._per_head(layer.weight) for layer in (self.to_k, self.to_v))
        pulled = torch.einsum("vnehw,nek->vhwnk", query * query.shape[2] ** -0.5, key)
        weights = (pulled @ samples.transpose(-1, -2)).softmax(dim=-1)
        read = torch.einsum("vhwnk,nek->vnehw", weights @ samples, value)
        return self.to_out(read.flatten(1, 2))

    def _nothing(self, x: Float[Tensor, "V C h w"]) -> Float[Tensor, "1 I h w"]:
        """What a branch without volume reads: the same everywhere, whatever the query asks.

        A trained norm's bias makes samples of zeros differ from zero, so this is not nothing, but it is constant.
        """
        assert self.norm_context.bias is not None
        sample = F.relu(self.norm_context.bias)[None, :, None, None, None]
        value = self.to_v(sample)[:, :, 0]
        return self.to_out(value).expand(-1, -1, *x.shape[2:])

    def _out(self, attended: Float[Tensor, "V I h w"]) -> Float[Tensor, "V C h w"]:
        hidden = self.conv1(F.relu(self.norm1(attended)))
        return self.conv2(F.relu(self.norm2(hidden)))

    def _per_head(self, weight: Float[Tensor, "I K 1 1 1"]) -> Float[Tensor, "heads E K"]:
        return weight.flatten(1).unflatten(0, (HEADS, -1))


def along(rays: Float[Tensor, "V K d h w"]) -> Float[Tensor, "V h w d K"]:
    """The samples of every pixel side by side in memory; a copy, unless they lie so already."""
    return rays.permute(0, 3, 4, 2, 1).contiguous()
