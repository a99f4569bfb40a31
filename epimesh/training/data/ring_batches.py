"""Batches of photos with the whole rings of their objects, from the same packs as the pairs."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from safetensors import safe_open
from torch import Tensor
from torch.utils.data import DataLoader

from epimesh.cameras import RING
from epimesh.training.data.pack_data import PackData, PackStream


class RingViews(NamedTuple):
    """B photos with the rings of their objects, turned so that the photo stands at azimuth 0.

    Args:
        photo: premultiplied RGBA in 8 bits.
        ring: view i is 22.5 i degrees from the photo, at elevation 30.
        elevation_deg: of the photo's camera.
        fold: 0 or 1, by family, for cross-fitting.
        mirrored: True where all images were flipped left to right, and the ring runs the other way round.
    """

    photo: UInt8[Tensor, "B 4 H W"]
    ring: UInt8[Tensor, "B 16 4 H W"]
    elevation_deg: Float[Tensor, "B"]
    fold: Int[Tensor, "B"]
    mirrored: Bool[Tensor, "B"]


class PackRings(PackStream):
    """An endless, seeded stream of batches of rings. Groups take turns, so that small batches have equal shares too."""

    def __iter__(self) -> Iterator[RingViews]:
        random = np.random.default_rng(self.seed)
        number = 0
        while True:
            items = []
            for _ in range(self.batch):
                items.append(self._item(self.groups[number % len(self.groups)], random))
                number += 1
            yield RingViews(*(torch.stack(column) for column in zip(*items, strict=True)))

    def _item(self, group: list[Path], random: np.random.Generator) -> tuple[Tensor, ...]:
        path, photo = self._chosen(group, random)
        mirrored = bool(random.random() < 0.5)
        with safe_open(path, framework="pt") as file:
            azimuth = int(file.get_tensor("azimuth_index")[photo])
            elevation = file.get_tensor("elevation_deg")[photo]
            rgba = file.get_slice("rgba")
            picture, ring = rgba[photo : photo + 1][0], rgba[:RING]
            fold = self._fold(path, file)
        turns = torch.arange(RING)
        if mirrored:  # in a mirrored world azimuths run the other way round
            picture, ring, turns = picture.flip(-1), ring.flip(-1), -turns
        return picture, ring[(azimuth + turns) % RING], elevation, torch.tensor(fold), torch.tensor(mirrored)


class PackRingData(PackData):
    """Photos with the rings of their objects from folders of packs.

    Args:
        train: folders of packs; each gives an equal share (so procedural objects can be half).
        batch: objects per step.
        ring_photos: share of photos taken from the ring at elevation 30; the others are at random elevations.
        seed: of the choice of objects and photos.
    """

    def __init__(self, train: list[str], batch: int = 4, ring_photos: float = 0.3, seed: int = 0) -> None:
        super().__init__(train, batch, ring_photos, seed)

    def train_dataloader(self) -> DataLoader:
        """The endless stream."""
        return DataLoader(PackRings(self.groups(), self.batch, self.ring_photos, self.stream_seed()), batch_size=None)
