"""What the network of the volume prior is made of."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

_GROUPS = 8


class Residual2d(nn.Module):
    """Two convolutions beside a skip; at the start it changes nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.GroupNorm(_GROUPS, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """Same shape out as in."""
        return x + self.second(functional.silu(self.norm(self.first(functional.silu(x)))))


class Residual3d(nn.Module):
    """The same in three dimensions, scaled and shifted by a vector that describes the photo."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm = nn.GroupNorm(_GROUPS, channels)
        self.modulation = nn.Linear(condition, 2 * channels)
        self.second = nn.Conv3d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Float[Tensor, "B C d h w"], condition: Float[Tensor, "B K"]) -> Float[Tensor, "B C d h w"]:
        """Same shape out as in."""
        scale, shift = self.modulation(condition)[..., None, None, None].chunk(2, dim=1)
        inner = torch.addcmul(shift, self.norm(self.first(functional.silu(x))), 1 + scale)
        return x + self.second(functional.silu(inner))


def finer(x: Float[Tensor, "B C8 d h w"]) -> Float[Tensor, "B C d2 h2 w2"]:
    """Eight channels of a cell become its eight halves: pixel shuffle in three dimensions."""
    batch, channels, d, h, w = x.shape
    split = x.reshape(batch, channels // 8, 2, 2, 2, d, h, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return split.reshape(batch, channels // 8, 2 * d, 2 * h, 2 * w)
