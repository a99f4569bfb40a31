"""Batches as latents: what the small networks learn from, whether it comes from packs or from memory."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from epimesh.cameras import RING
from epimesh.data.packs.view_pack import EXTRA
from epimesh.diffusion.autoencoder import Autoencoder
from epimesh.training.data.pack_data import ViewBatch, on_white
from epimesh.training.data.ring_batches import RingViews


class PairLatents(NamedTuple):
    """B pairs of a photo and a target, as `ViewBatch`, encoded."""

    photo: Float[Tensor, "B C h w"]
    target: Float[Tensor, "B C h w"]
    turn: Int[Tensor, "B"]
    elevation_deg: Float[Tensor, "B"]
    fold: Int[Tensor, "B"]

    @classmethod
    def of(cls, batch: ViewBatch, autoencoder: Autoencoder) -> "PairLatents":
        """The latents of a batch of pictures."""
        photo, target = (autoencoder.encode(on_white(images)) for images in (batch.photo, batch.target))
        return cls(photo, target, batch.turn, batch.elevation_deg, batch.fold)


class RingLatents(NamedTuple):
    """B photos with the rings of their objects, as `RingViews`, encoded."""

    photo: Float[Tensor, "B C h w"]
    ring: Float[Tensor, "B 16 C h w"]
    elevation_deg: Float[Tensor, "B"]
    fold: Int[Tensor, "B"]

    @classmethod
    def of(cls, batch: RingViews, autoencoder: Autoencoder) -> "RingLatents":
        """The latents of a batch of pictures."""
        ring = autoencoder.encode(on_white(batch.ring.flatten(0, 1))).unflatten(0, (-1, RING))
        return cls(autoencoder.encode(on_white(batch.photo)), ring, batch.elevation_deg, batch.fold)


def random_photos(count: int, ring_photos: float, device: torch.device) -> Int[Tensor, "{count}"]:
    """Numbers of views that serve as photos: the share `ring_photos` from the ring, the rest from the others."""
    return torch.where(
        torch.rand(count, device=device) < ring_photos,
        torch.randint(RING, (count,), device=device),
        torch.randint(RING, RING + EXTRA, (count,), device=device),
    )
