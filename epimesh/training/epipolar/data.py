"""Objects in six views with depth, one after the other in an order that any process can go on with at any step."""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from epimesh.cameras import Cameras
from epimesh.data.posed.posed_views import read_posed_views
from epimesh.data.posed.transforms_json import FILE
from epimesh.errors import BadInput


class PosedObject(NamedTuple):
    """One object. View 0 is the photo.

    Args:
        number: of the object in the whole training, over all processes; random numbers follow from it.
        folder: that it was read from.
        rgb: on white, 0 to 1.
        depth: camera z in scene units, infinite where nothing is.
        world_to_camera: of the views.
        intrinsics: of the views.
        orthographic: whether the cameras are.
    """

    number: int
    folder: str
    rgb: Float[Tensor, "V 3 H W"]
    depth: Float[Tensor, "V H W"]
    world_to_camera: Float[Tensor, "V 4 4"]
    intrinsics: Float[Tensor, "V 3 3"]
    orthographic: bool

    def to(self, device: torch.device) -> "PosedObject":
        """The same on another device."""
        return self._replace(
            rgb=self.rgb.to(device),
            depth=self.depth.to(device),
            world_to_camera=self.world_to_camera.to(device),
            intrinsics=self.intrinsics.to(device),
        )

    def cameras(self) -> Cameras:
        """All of them, on the same device."""
        height, width = self.rgb.shape[2:]
        return Cameras(self.world_to_camera, self.intrinsics, height, width, self.orthographic)


def read_posed_object(folder: Path, number: int = 0) -> PosedObject:
    """The views of one folder, as `epimesh render --views six` writes them.

    Raises:
        BadInput: they cannot be read, or are without depth.
    """
    views = read_posed_views(folder, geometry=True)
    if views.depth is None or not views.depth.isfinite().any():
        raise BadInput(
            f"The views in {folder} have no depth.\n"
            "Expected depth_file_path for every frame. Make such views with: epimesh render OBJECTS OUT --views six"
        )
    cameras = views.cameras
    return PosedObject(
        number, str(folder), views.rgb, views.depth, cameras.world_to_camera, cameras.intrinsics, cameras.orthographic
    )


class PosedObjects(Dataset[PosedObject]):
    """The objects of some folders, each once per round, in an order that is drawn anew for every round.

    Args:
        folders: of one object each.
        seed: of the orders.
    """

    def __init__(self, folders: Sequence[Path], seed: int) -> None:
        self.folders = folders
        self.seed = seed

    def __getitem__(self, number: int) -> PosedObject:
        """The object with this number, without end."""
        turn, place = divmod(number, len(self.folders))
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + turn)
        order = torch.randperm(len(self.folders), generator=random)
        return read_posed_object(self.folders[int(order[place])], number)


class _From(Sampler[int]):
    """Every so many numbers from a first one on."""

    def __init__(self, first: int, step: int) -> None:
        self.first, self.step = first, step

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.first, self.step)


class SixViewData(LightningDataModule):
    """Folders of objects in six views, as `epimesh render --views six` writes them.

    Args:
        train: folders that hold a folder for each object.
        workers: processes that read ahead.
        seed: of the order of the objects.
        val: folders with objects of the split val (`epimesh render --split val`), for PSNR; none means no validation.
        val_objects: of them, at most so many over all processes.
    """

    def __init__(
        self, train: list[str], workers: int = 0, seed: int = 0, val: list[str] | None = None, val_objects: int = 64
    ) -> None:
        super().__init__()
        self.sources = [Path(folder) for folder in train]
        self.workers = workers
        self.seed = seed
        self.val_sources = [Path(folder) for folder in val or []]
        self.val_objects = val_objects

    def train_dataloader(self) -> DataLoader:
        """The objects of this process, from the step on that the training is at."""
        objects = [folder for source in self.sources for folder in objects_in(source)]
        first, step = 0, 1
        if self.trainer is not None:
            step = self.trainer.world_size
            begun = self.trainer.global_step * self.trainer.accumulate_grad_batches
            first = begun * step + self.trainer.global_rank
        dataset = PosedObjects(objects, self.seed)
        return DataLoader(dataset, batch_size=None, sampler=_From(first, step), num_workers=self.workers)

    def val_dataloader(self) -> list[DataLoader]:
        """This process's share of the objects for validation, always the same; the same number for every process."""
        objects = [folder for source in self.val_sources for folder in objects_in(source, "val")][: self.val_objects]
        rank, size = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        each = -(-len(objects) // size)
        mine = [objects[(rank + size * turn) % len(objects)] for turn in range(each)]
        read = [_OneObject(folder, rank + size * turn) for turn, folder in enumerate(mine)]
        return [DataLoader(_ObjectList(read), batch_size=None)] if read else []


class _OneObject(NamedTuple):
    folder: Path
    number: int


class _ObjectList(Dataset[PosedObject]):
    """Objects in a fixed order."""

    def __init__(self, objects: Sequence[_OneObject]) -> None:
        self._objects = objects

    def __len__(self) -> int:
        return len(self._objects)

    def __getitem__(self, place: int) -> PosedObject:
        return read_posed_object(*self._objects[place])


def objects_in(source: Path, split: str = "train") -> list[Path]:
    """The folders of objects in a folder, in a fixed order.

    Raises:
        BadInput: there is none, or one of another split.
    """
    found = sorted(path.parent for path in source.glob(f"*/{FILE}"))
    if not found:
        raise BadInput(
            f"There are no objects in {source}.\nMake them with: epimesh render OBJECTS {source} --views six"
        )
    for folder in found:
        if (stated := _split_of(folder)) != split:
            raise BadInput(f"{folder} is of split '{stated}'.\nExpected only split '{split}': never train on the rest.")
    return found


def _split_of(folder: Path) -> str:
    """What `object.json` says; views without one were made by somebody who chose them."""
    description = folder / "object.json"
    if not description.is_file():
        return "train"
    try:
        return str(json.loads(description.read_text())["split"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{description} states no split ({error}).\nRender the object again.") from error
