"""A UNet with the layers of Stable Diffusion's, thin enough to run in an instant, and the batches it is given."""

from collections.abc import Sequence

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from epimesh.diffusion.attention_control.controller import PHOTO, AttentionController, Row
from epimesh.diffusion.sampler import Denoise


def tiny_unet(size: int = 16) -> UNet2DConditionModel:
    """Sixteen self-attention layers: five at each of three resolutions from `size` down, one in the middle."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=size,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=2,
        cross_attention_dim=8,
        attention_head_dim=2,  # diffusers means the number of heads
        norm_num_groups=4,
    ).eval()
    for name, weight in unet.named_parameters():
        if ".attn1.to_" in name:
            weight.data *= 4  # random attention is nearly even; this gives it something to say
    return unet.requires_grad_(False)


def views(count: int, branch: str = "conditional", *, photo: bool = True) -> list[Row]:
    """Rows of `count` views, and the photo's after them."""
    return [Row(view, branch) for view in range(count)] + [Row(PHOTO, branch)] * photo


def token(row: Row) -> Tensor:
    """The condition of a row: its view, unless nothing is given to this branch."""
    known = row.branch == "conditional"
    return torch.full((2, 8), 0.1) + torch.eye(8)[row.view % 8] * known + torch.eye(8)[row.photo] * known


def denoiser(unet: UNet2DConditionModel, rows: Sequence[Row], controller: AttentionController | None = None) -> Denoise:
    """The UNet as a denoiser of `rows`, told to the controller if there is one."""
    tokens = torch.stack([token(row) for row in rows])

    def denoise(x: Tensor, time: int) -> Tensor:
        with torch.no_grad():
            return unet(x, time, tokens.to(x)).sample

    return denoise if controller is None else controller.with_rows(denoise, rows)
