"""Batches of pairs of any two views of an object, at any elevation that the packs have."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors import safe_open
from torch import Tensor
from torch.utils.data import DataLoader

from epimesh.cameras import RING
from epimesh.data.packs.view_pack import AZIMUTH_STEP_DEG, EXTRA
from epimesh.errors import BadInput
from epimesh.training.data.pack_data import PackData, PackStream


class ViewPairs(NamedTuple):
    """B photos, each with another view of its object.

    Args:
        photo: premultiplied RGBA in 8 bits.
        target: the other view.
        azimuth_deg: of the target relative to the photo, counter-clockwise seen from above.
        photo_elevation_deg: of the photo's camera.
        target_elevation_deg: of the target's camera.
    """

    photo: UInt8[Tensor, "B 4 H W"]
    target: UInt8[Tensor, "B 4 H W"]
    azimuth_deg: Float[Tensor, "B"]
    photo_elevation_deg: Float[Tensor, "B"]
    target_elevation_deg: Float[Tensor, "B"]


class PackViewPairs(PackStream):
    """An endless, seeded stream of batches. Groups take turns, so that small batches have equal shares too."""

    def __init__(
        self,
        folders: list[list[Path]],
        batch: int,
        ring_photos: float,
        ring_targets: float,
        seed: int | Sequence[int],
    ) -> None:
        """`folders` are groups of packs; `ring_photos` and `ring_targets` are shares at elevation 30."""
        super().__init__(folders, batch, ring_photos, seed)
        self.ring_targets = ring_targets

    def __iter__(self) -> Iterator[ViewPairs]:
        random = np.random.default_rng(self.seed)
        number = 0
        while True:
            pairs = []
            for _ in range(self.batch):
                pairs.append(self._pair(self.groups[number % len(self.groups)], random))
                number += 1
            yield ViewPairs(*(torch.stack(column) for column in zip(*pairs, strict=True)))

    def _pair(self, group: list[Path], random: np.random.Generator) -> tuple[Tensor, ...]:
        path, photo = self._chosen(group, random)
        target = photo
        while target == photo:
            on_ring = random.random() < self.ring_targets
            target = int(random.integers(RING)) if on_ring else int(RING + random.integers(EXTRA))
        mirrored = bool(random.random() < 0.5)
        with safe_open(path, framework="pt") as file:
            azimuth, elevation = file.get_tensor("azimuth_index"), file.get_tensor("elevation_deg")
            rgba = file.get_slice("rgba")
            images = [rgba[view : view + 1][0] for view in (photo, target)]
        turn = (azimuth[target] - azimuth[photo]) * AZIMUTH_STEP_DEG
        if mirrored:  # in a mirrored world azimuths run the other way round
            images, turn = [image.flip(-1) for image in images], -turn
        return *images, turn, elevation[photo], elevation[target]


class PackViewPairData(PackData):
    """Pairs of any two views of an object from folders of packs.

    Args:
        train: folders of packs; each gives an equal share (so procedural objects can be half).
        batch: pairs per process at once.
        ring_photos: share of photos taken from the ring at elevation 30; the others are at random elevations.
        ring_targets: the same for targets.
        seed: of the choice of objects and views.

    Raises:
        BadInput: a share is not one.
    """

    def __init__(
        self, train: list[str], batch: int = 48, ring_photos: float = 0.5, ring_targets: float = 0.5, seed: int = 0
    ) -> None:
        super().__init__(train, batch, ring_photos, seed)
        if not (0 <= ring_photos <= 1 and 0 <= ring_targets <= 1):
            raise BadInput(f"ring_photos is {ring_photos} and ring_targets {ring_targets}; both are shares, 0 to 1.")
        self.ring_targets = ring_targets

    def train_dataloader(self) -> DataLoader:
        """The endless stream."""
        pairs = PackViewPairs(self.groups(), self.batch, self.ring_photos, self.ring_targets, self.stream_seed())
        return DataLoader(pairs, batch_size=None)
