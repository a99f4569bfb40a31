"""What the networks of the volume prior are made of."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

_GROUPS = 8


class Residual2d(nn.Module):
    """Two convolutions beside a skip; at the start it changes nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_GROUPS, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        """Same shape out as in."""
        return x + self.second(functional.silu(self.first(functional.silu(self.norm(x)))))


class Residual3d(nn.Module):
    """The same in three dimensions, scaled and shifted by a vector that describes the photo."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(_GROUPS, channels)
        self.modulation = nn.Linear(condition, 2 * channels)
        self.first = nn.Conv3d(channels, channels, 3, padding=1)
        self.second = nn.Conv3d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Float[Tensor, "B C d h w"], condition: Float[Tensor, "B K"]) -> Float[Tensor, "B C d h w"]:
        """Same shape out as in."""
        scale, shift = self.modulation(condition)[..., None, None, None].chunk(2, dim=1)
        inner = self.first(functional.silu(torch.addcmul(shift, self.norm(x), 1 + scale)))
        return x + self.second(functional.silu(inner))


class PhotoAttention(nn.Module):
    """Cells of a volume look at each other and at the photo, then think for themselves."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.photo_norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        self.thought = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 4 * channels), nn.SiLU(), nn.Linear(4 * channels, channels)
        )
        for last in (self.out, self.thought[3]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, cells: Float[Tensor, "B N C"], photo: Float[Tensor, "B M C"]) -> Float[Tensor, "B N C"]:
        """The cells, changed."""
        own = self.norm(cells)
        seen = torch.cat([own, self.photo_norm(photo)], dim=1)
        query, (key, value) = self.query(own), self.key_value(seen).chunk(2, dim=-1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, key, value))
        # Explicit: on a CPU in bfloat16, the backward pass of the fused form takes several times as long.
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        mixed = scores.softmax(dim=-1).to(value.dtype) @ value
        cells = cells + self.out(mixed.transpose(1, 2).flatten(2))
        return cells + self.thought(cells)


def finer(x: Float[Tensor, "B C8 d h w"]) -> Float[Tensor, "B C d2 h2 w2"]:
    """Eight channels of a cell become its eight halves: pixel shuffle in three dimensions."""
    batch, channels, d, h, w = x.shape
    split = x.reshape(batch, channels // 8, 2, 2, 2, d, h, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return split.reshape(batch, channels // 8, 2 * d, 2 * h, 2 * w)
