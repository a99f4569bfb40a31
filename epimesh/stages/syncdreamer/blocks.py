"""The convolution blocks of the volume branch, each told the time and some the view."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

GROUPS = 8  # of every group normalisation in the volume branch


class ViewBlock(nn.Module):
    """A residual block of an image, told time and view by 1 x 1 convolutions.

    Args:
        channels: of the image.
        time: width of the time embedding.
        view: width of the view vector.
    """

    def __init__(self, channels: int, time: int, view: int) -> None:
        super().__init__()
        self.time = nn.Conv2d(time, channels, 1)
        self.view = nn.Conv2d(view, channels, 1)
        self.norm1 = nn.GroupNorm(GROUPS, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(
        self, x: Float[Tensor, "B C h w"], time: Float[Tensor, "B T"], view: Float[Tensor, "B K"]
    ) -> Float[Tensor, "B C h w"]:
        told = x + self.time(time[..., None, None]) + self.view(view[..., None, None])
        hidden = self.conv1(F.silu(self.norm1(told)))
        return x + self.conv2(F.silu(self.norm2(hidden)))  # the untold image is what is kept


class VolumeBlock(nn.Module):
    """Norm, SiLU and a 3D convolution, told the time and, where `view` is not 0, the view.

    Args:
        inside: channels in.
        outside: channels out.
        time: width of the time embedding.
        view: width of the view vector; 0 for a block that is not told it.
        scale: "same", "half" (stride 2) or "double" (transposed, stride 2).
    """

    def __init__(self, inside: int, outside: int, time: int, view: int = 0, scale: str = "same") -> None:
        super().__init__()
        self.time = nn.Conv3d(time, inside, 1)
        self.view = nn.Conv3d(view, inside, 1) if view else None
        self.norm = nn.GroupNorm(GROUPS, inside)
        self.conv: nn.Module
        if scale == "double":
            self.conv = nn.ConvTranspose3d(inside, outside, 3, stride=2, padding=1, output_padding=1)
        else:
            self.conv = nn.Conv3d(inside, outside, 3, stride=2 if scale == "half" else 1, padding=1)

    def forward(
        self, x: Float[Tensor, "B C d h w"], time: Float[Tensor, "B T"], view: Float[Tensor, "B K"] | None = None
    ) -> Float[Tensor, "B D e i j"]:
        told = self.time(time[..., None, None, None])
        if self.view is not None and view is not None:
            told = told + self.view(view[..., None, None, None])
        return self.conv(F.silu(self.norm(x + told)))
