"""Ancestral Euler steps with reference attention: the photo is noised like the views and read in every layer."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from diffusers.models.attention_processor import Attention

TIMES = 1000


def trailing(steps: int, first: float = 0.00085, last: float = 0.012) -> tuple[list[int], Float[Tensor, "N"]]:
    """Times, descending from the noisiest, and the standard deviation of the noise at each, ending with none.

    Args:
        steps: how many.
        first: beta of the first of the thousand times; they grow linearly, unlike Stable Diffusion's.
        last: beta of the last.
    """
    kept = torch.cumprod(1 - torch.linspace(first, last, TIMES), dim=0)
    times = np.round(np.arange(TIMES, 0, -TIMES / steps)).astype(int)[:steps] - 1
    sigmas = ((1 - kept) / kept).sqrt()[torch.from_numpy(times)]
    return times.tolist(), torch.cat([sigmas, torch.zeros(1)])


@dataclass(frozen=True, eq=False)
class Read:
    """What the views read.

    Args:
        latents: of nothing and of the photo, not scaled in any way; one row without guidance.
        tokens: of the same rows.
    """

    latents: Float[Tensor, "R C k k"]
    tokens: Float[Tensor, "R L D"]


class ReferenceAttention:
    """Self-attention that remembers its tokens in one pass, and reads them beside its own in the next."""

    def __init__(self) -> None:
        from diffusers.models.attention_processor import AttnProcessor2_0

        self._plain = AttnProcessor2_0()
        self._remembered: Tensor | None = None

    def __call__(
        self,
        attn: "Attention",
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """Same shape out as in: (B, N, C)."""
        if self._remembered is None:
            self._remembered = hidden_states
            return self._plain(attn, hidden_states)
        every = torch.cat([hidden_states, self._remembered], dim=1)
        self._remembered = None
        return self._plain(attn, hidden_states, every)


@contextmanager
def reading(unet: "UNet2DConditionModel") -> Iterator[None]:
    """Every self-attention layer reads; afterwards the network is as it was."""
    before = unet.attn_processors
    during: dict[str, Any] = {
        name: ReferenceAttention() if ".attn1." in name else processor for name, processor in before.items()
    }
    unet.set_attn_processor(during)
    try:
        yield
    finally:
        unet.set_attn_processor(before)


def velocity(
    unet: "UNet2DConditionModel",
    x: Float[Tensor, "1 C H W"],
    time: int,
    sigma: float,
    read: Read,
    noise: Float[Tensor, "R C k k"],
) -> Float[Tensor, "R C H W"]:
    """What the network predicts for every row. To be called while it is `reading`.

    Args:
        unet: Stable Diffusion 2's.
        x: the views, with noise of deviation `sigma`.
        time: of that noise.
        sigma: deviation of the noise.
        read: what is read.
        noise: for what is read, drawn anew at every step and for every row.
    """
    scale = (sigma**2 + 1) ** 0.5
    unet((read.latents + sigma * noise) / scale, time, read.tokens)
    given = (x / scale).expand(len(read.tokens), -1, -1, -1)
    return unet(given, time, read.tokens, return_dict=False)[0]


def guided(rows: Float[Tensor, "R C H W"], guidance: float) -> Float[Tensor, "1 C H W"]:
    """The prediction, from that for nothing through that for the photo and on; one row is itself."""
    if len(rows) == 1:
        return rows
    without, given = rows.chunk(2)
    return without + guidance * (given - without)


def ancestral(
    x: Float[Tensor, "*shape"],
    v: Float[Tensor, "*shape"],
    sigma: float,
    following: float,
    noise: Float[Tensor, "*shape"],
) -> Float[Tensor, "*shape"]:
    """One step from noise of deviation `sigma` to `following`, for a prediction of the velocity."""
    clean = x / (sigma**2 + 1) - v * sigma / (sigma**2 + 1) ** 0.5
    up = (following**2 * (sigma**2 - following**2) / sigma**2) ** 0.5
    down = (following**2 - up**2) ** 0.5
    return x + (x - clean) / sigma * (down - sigma) + up * noise


def sampled(
    unet: "UNet2DConditionModel",
    start: Float[Tensor, "1 C H W"],
    read: Read,
    *,
    steps: int,
    guidance: float,
    noise_like: Callable[[Tensor], Tensor],
    track: Callable[[Sequence[int]], Any] = list,
) -> Float[Tensor, "1 C H W"]:
    """The picture of six views as scaled latents, from standard normal noise."""
    times, sigmas = trailing(steps)
    x = start * sigmas[0].to(start)
    with reading(unet):
        for number, time in enumerate(track(times)):
            sigma, following = float(sigmas[number]), float(sigmas[number + 1])
            rows = velocity(unet, x, time, sigma, read, noise_like(read.latents))
            x = ancestral(x, guided(rows, guidance), sigma, following, noise_like(x))
    return x
