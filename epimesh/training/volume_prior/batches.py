"""Batches of photos beside their solid volumes, from a folder of shards that may still be growing."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional
from torch.utils.data import IterableDataset

from epimesh.compiled import compiled
from epimesh.data.solids.placement import Placement
from epimesh.data.solids.samples import GRID, GRID_SIDE, SURFACE, SolidSample
from epimesh.data.solids.shards import load_shard
from epimesh.errors import BadInput
from epimesh.stages.volume_prior.network import CELLS, cell_centres
from epimesh.training.data.pack_data import on_white

TAKEN_SURFACE = 1536
_REFRESH = 200  # batches between looks for new shards


class SolidBatch(NamedTuple):
    """B photos with their volumes.

    Args:
        photo: colours on white with coverage.
        elevation_deg: true.
        told_deg: what the network is told; the volume is that of this elevation.
        solid: whether the object holds the centres of the occupancy's cells.
        surface: points on the surface.
        surface_rgb: their colours, 0 to 1.
        group: REAL or PROCEDURAL.
    """

    photo: Float[Tensor, "B 4 H W"]
    elevation_deg: Float[Tensor, "B"]
    told_deg: Float[Tensor, "B"]
    solid: Bool[Tensor, "B 64 64 64"]
    surface: Float[Tensor, "B M 3"]
    surface_rgb: Float[Tensor, "B M 3"]
    group: Int[Tensor, "B"]


class SolidBatches(IterableDataset):
    """An endless stream; real and procedural objects give half of every batch each, where there are both.

    Args:
        folder: of the shards.
        batch: photos per step.
        told_spread_deg: deviation of the told elevation from the true one.
        seed: of everything random.
        latest: only so many of the newest shards are used.
    """

    def __init__(self, folder: Path, batch: int, told_spread_deg: float = 3.0, seed: int = 0, latest: int = 10**6):
        self.folder, self.batch, self.told_spread_deg, self.seed = folder, batch, told_spread_deg, seed
        self.latest = latest
        self._shards: dict[Path, tuple[SolidSample, Tensor]] = {}
        self._members: list[list[tuple[Path, int]]] = []

    def __iter__(self) -> Iterator[SolidBatch]:
        random = np.random.default_rng(self.seed)
        while True:
            self._refresh()
            for _ in range(_REFRESH):
                yield self._drawn(random)

    @property
    def objects(self) -> int:
        """How many there are."""
        return sum(len(members) for members in self._members)

    def _refresh(self) -> None:
        files = sorted(self.folder.glob("[0-9]*.safetensors"), key=lambda file: file.stat().st_mtime)[-self.latest :]
        if not files:
            raise BadInput(f"{self.folder} holds no shards.\nExpected files that the writers of solids have made.")
        self._shards = {file: self._shards.get(file) or load_shard(file) for file in files}
        pairs = [(int(group), (file, row)) for file in files for row, group in enumerate(self._shards[file][1])]
        groups = sorted({group for group, _ in pairs})
        self._members = [[member for group, member in pairs if group == wanted] for wanted in groups]

    def _drawn(self, random: np.random.Generator) -> SolidBatch:
        chosen = []
        for number in range(self.batch):
            members = self._members[number % len(self._members)]
            file, row = members[random.integers(len(members))]
            shard, group = self._shards[file]
            chosen.append((*_one(shard, row, random, self.told_spread_deg), group[row]))
        return SolidBatch(*(torch.stack(column) for column in zip(*chosen, strict=True)))


def _one(shard: SolidSample, row: int, random: np.random.Generator, spread_deg: float) -> tuple[Tensor, ...]:
    which = int(random.integers(shard.photos.shape[1]))
    placement = Placement(*shard.placement[row, which].tolist())
    told = float(np.clip(placement.elevation_deg + spread_deg * random.standard_normal(), -30, 85))
    solid = solid_in_photo_frame(shard.solid[row], placement, told)
    taken = torch.from_numpy(random.choice(SURFACE, TAKEN_SURFACE, replace=False))
    points = placement.to_photo_frame(shard.surface[row, taken].float(), told)
    photo = worn(on_white(shard.photos[row, which][None])[0], random)
    if random.random() < 0.5:
        photo, solid, points = photo.flip(-1), solid.flip(1), points * torch.tensor([1.0, -1.0, 1.0])
    return (
        photo,
        torch.tensor(placement.elevation_deg),
        torch.tensor(told),
        solid,
        points,
        shard.surface_rgb[row, taken].float() / 255,
    )


def solid_in_photo_frame(bits: UInt8[Tensor, "B"], placement: Placement, told_deg: float) -> Bool[Tensor, "64 64 64"]:
    """The object's solid at the centres of the volume's cells, for a photo whose elevation is told to be `told_deg`."""
    grid = np.unpackbits(bits.numpy()).reshape(GRID, GRID, GRID)
    cells = 2 * CELLS
    points = placement.from_photo_frame(cell_centres(cells, torch.device("cpu")), told_deg)
    places = (points * (GRID / GRID_SIDE) + GRID / 2).numpy()
    return torch.from_numpy(_looked_up(grid, places)).reshape(cells, cells, cells)


@compiled()
def _looked_up(grid, places):  # type: ignore[no-untyped-def]
    """The cells that hold the places, none outside the grid."""
    size = len(grid)
    found = np.zeros(len(places), np.bool_)
    for number in range(len(places)):
        x, y, z = places[number]
        if 0 <= x < size and 0 <= y < size and 0 <= z < size:
            found[number] = grid[int(x), int(y), int(z)] != 0
    return found


def worn(photo: Float[Tensor, "4 H W"], random: np.random.Generator) -> Float[Tensor, "4 H W"]:
    """As photos are: now and then a little blurred or noisy, with a mask that is a pixel too large or too small."""
    if random.random() < 0.3:
        photo = functional.avg_pool2d(functional.pad(photo[None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[0]
    if random.random() < 0.3:
        noise = torch.from_numpy(random.standard_normal(photo[:3].shape).astype(np.float32))
        photo = torch.cat([photo[:3] + noise * random.uniform(0.005, 0.03) * photo[3:], photo[3:]])
    return photo.clamp(0, 1)
