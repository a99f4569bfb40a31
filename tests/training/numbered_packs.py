"""Packs whose views carry their own number, and packs of noise."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from epimesh.cameras import RING
from epimesh.data.packs.view_pack import ViewPack


def numbered_pack(name: str, family: str = "cups", split: str = "train") -> ViewPack:
    """View number n is black, but its left column has the value n."""
    rgba = torch.zeros(20, 4, 8, 8, dtype=torch.uint8)
    rgba[:, :, :, 0] = torch.arange(20, dtype=torch.uint8)[:, None, None]
    azimuth_index = torch.cat([torch.arange(RING), torch.tensor([3, 3, 9, 14])])
    elevation_deg = torch.cat([torch.full((RING,), 30.0), torch.tensor([-5.0, 7.0, 21.0, 39.0])])
    return ViewPack(
        rgba=rgba,
        azimuth_index=azimuth_index,
        elevation_deg=elevation_deg,
        id=name,
        family=family,
        split=split,
        realistic=False,
        licence="CC0-1.0",
        scale=1.0,
    )


def save_noise_packs(folder: Path, families: Sequence[str], size: int) -> None:
    """One object of each family, of opaque noise: no view is like another."""
    random = torch.Generator().manual_seed(1)
    for family in families:
        rgba = torch.randint(256, (20, 4, size, size), dtype=torch.uint8, generator=random)
        rgba[:, 3] = 255
        replace(numbered_pack(family, family), rgba=rgba).save(folder / f"{family}.safetensors")
