"""Batches of training views from folders of packs, real and procedural in equal shares."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from pytorch_lightning import LightningDataModule
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from epimesh.cameras import RING
from epimesh.data.packs.view_pack import fold_of
from epimesh.errors import BadInput


class ViewBatch(NamedTuple):
    """B pairs of a photo and a target, from B objects.

    Args:
        photo: premultiplied RGBA in 8 bits.
        target: another view of the same object, on the ring.
        turn: azimuth of the target relative to the photo, in steps of 22.5 degrees, 0 to 15.
        elevation_deg: of the photo's camera; the ring is at 30.
        fold: 0 or 1, by family, for cross-fitting.
        mirrored: True where both images were flipped left to right and the turn was negated.
    """

    photo: UInt8[Tensor, "B 4 H W"]
    target: UInt8[Tensor, "B 4 H W"]
    turn: Int[Tensor, "B"]
    elevation_deg: Float[Tensor, "B"]
    fold: Int[Tensor, "B"]
    mirrored: Tensor


def on_white(rgba: UInt8[Tensor, "B 4 H W"]) -> Float[Tensor, "B 4 H W"]:
    """Premultiplied 8-bit views as colour on white plus coverage, 0 to 1: what autoencoders take."""
    values = rgba.float() / 255
    alpha = values[:, 3:]
    return torch.cat([values[:, :3] + 1 - alpha, alpha], dim=1)


def network_pictures(rgba: UInt8[Tensor, "B 4 S S"], size: int) -> Float[Tensor, "B 3 S S"]:
    """Premultiplied 8-bit views as published networks take them: on white, in [-1, 1].

    Raises:
        BadInput: the views do not have `size` pixels per side.
    """
    if rgba.shape[-1] != size:
        raise BadInput(
            f"The views have {rgba.shape[-1]} pixels per side, but these weights need {size}.\n"
            f"Render them with: epimesh render OBJECTS OUT --size {size}"
        )
    return on_white(rgba)[:, :3] * 2 - 1


class PackStream(IterableDataset):
    """Base of the endless, seeded streams of batches from groups of packs."""

    def __init__(self, folders: list[list[Path]], batch: int, ring_photos: float, seed: int | Sequence[int]) -> None:
        """`folders` are groups of packs; every group gives the same share of each batch."""
        self.groups = folders
        self.batch = batch
        self.ring_photos = ring_photos
        self.seed = seed
        self._folds: dict[Path, int] = {}

    def _chosen(self, group: list[Path], random: np.random.Generator) -> tuple[Path, int]:
        """A pack of the group, and which of its views is the photo."""
        path = group[random.integers(len(group))]
        photo = int(random.integers(RING)) if random.random() < self.ring_photos else int(RING + random.integers(4))
        return path, photo

    def _fold(self, path: Path, file: safe_open) -> int:
        """The fold of a pack; remembered, for hashing its family takes longer than looking it up."""
        if path not in self._folds:
            self._folds[path] = fold_of(file.metadata()["family"])
        return self._folds[path]


class PackPairs(PackStream):
    """An endless, seeded stream of batches of pairs."""

    def __iter__(self) -> Iterator[ViewBatch]:
        random = np.random.default_rng(self.seed)
        while True:
            pairs = [self._pair(self.groups[i % len(self.groups)], random) for i in range(self.batch)]
            yield ViewBatch(*(torch.stack(column) for column in zip(*pairs, strict=True)))

    def _pair(self, group: list[Path], random: np.random.Generator) -> tuple[Tensor, ...]:
        path, photo = self._chosen(group, random)
        turn, mirrored = int(random.integers(RING)), bool(random.random() < 0.5)
        with safe_open(path, framework="pt") as file:
            azimuth = int(file.get_tensor("azimuth_index")[photo])
            elevation = file.get_tensor("elevation_deg")[photo]
            rgba = file.get_slice("rgba")
            images = [rgba[view : view + 1][0] for view in (photo, (azimuth + turn) % RING)]
            fold = self._fold(path, file)
        if mirrored:
            images, turn = [image.flip(-1) for image in images], -turn % RING
        return (
            images[0],
            images[1],
            torch.tensor(turn),
            elevation,
            torch.tensor(fold),
            torch.tensor(mirrored),
        )


class PackData(LightningDataModule):
    """Pairs of views from folders of packs.

    Args:
        train: folders of packs; each gives an equal share of every batch (so procedural objects can be half of it).
        batch: pairs per step.
        ring_photos: share of photos taken from the ring at elevation 30; the others are at random elevations.
        seed: of the choice of objects and views.
    """

    def __init__(self, train: list[str], batch: int = 32, ring_photos: float = 0.3, seed: int = 0) -> None:
        super().__init__()
        self.folders = [Path(folder) for folder in train]
        self.batch = batch
        self.ring_photos = ring_photos
        self.seed = seed

    def groups(self) -> list[list[Path]]:
        """The packs of every folder.

        Raises:
            BadInput: a folder holds none, or one that is not of the training split.
        """
        return [packs_in(folder) for folder in self.folders]

    def stream_seed(self) -> list[int]:
        """Of this process and from this step on: processes see different objects, and so does a resumed training."""
        here = (0, 0) if self.trainer is None else (self.trainer.global_rank, self.trainer.global_step)
        return [self.seed, *here]

    def train_dataloader(self) -> DataLoader:
        """The endless stream."""
        pairs = PackPairs(self.groups(), self.batch, self.ring_photos, self.stream_seed())
        return DataLoader(pairs, batch_size=None)


def packs_in(folder: Path, split: str = "train") -> list[Path]:
    """The packs of a folder in a fixed order.

    Raises:
        BadInput: there is none, or they are of another split.
    """
    packs = sorted(folder.glob("*.safetensors"))
    if not packs:
        raise BadInput(f"There are no packs in {folder}.\nMake them with: epimesh render OBJECTS {folder}")
    for pack in packs:
        if (found := _split_of(pack)) != split:
            raise BadInput(f"{pack} is of split '{found}'.\nExpected only split '{split}': never train on the rest.")
    return packs


def _split_of(path: Path) -> str:
    try:
        with safe_open(path, framework="pt") as file:
            return str(file.metadata()["split"])
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path} is not a pack of views ({error}).\nMake packs with: epimesh render OBJECTS OUT"
        ) from error
