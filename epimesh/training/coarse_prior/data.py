"""Whole rings of views as codes, all in memory: what the coarse prior learns from."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from pytorch_lightning import LightningDataModule
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from epimesh import weights
from epimesh.cameras import RING
from epimesh.data.packs.view_pack import ViewPack
from epimesh.diffusion.autoencoder import Autoencoder, load_autoencoder
from epimesh.files.atomic import atomic_file
from epimesh.pipeline.fingerprint import fingerprint
from epimesh.stages.coarse_prior.components import ViewComponents
from epimesh.training.data.pack_data import fold_of, on_white, packs_in

_PART = "components."  # prefix in the cache


class RingBatch(NamedTuple):
    """B photos with the rings of their objects, turned so that the photo stands at azimuth 0.

    Args:
        photo: codes.
        elevation_deg: of the photos.
        ring: codes of the views at azimuth 360 i / V, elevation 30.
    """

    photo: Float[Tensor, "B K"]
    elevation_deg: Float[Tensor, "B"]
    ring: Float[Tensor, "B V K"]


class RingCodes(NamedTuple):
    """All views of N objects. The second axis: as they are, and mirrored left to right.

    Args:
        codes: of the ring, then of the further views.
        azimuth_index: in steps of the ring.
        elevation_deg: of all views.
        group: which folder an object is from.
        fold: 0 or 1, by family.
    """

    codes: Float[Tensor, "N 2 V K"]
    azimuth_index: Int[Tensor, "N V"]
    elevation_deg: Float[Tensor, "N V"]
    group: Int[Tensor, "N"]
    fold: Int[Tensor, "N"]

    def only(self, rows: Tensor) -> "RingCodes":
        """Some of the objects."""
        return RingCodes(*(column[rows] for column in self))


class RingBatches(IterableDataset):
    """An endless, seeded stream of batches. Every group of objects gives the same share of each."""

    def __init__(self, codes: RingCodes, batch: int, ring_photos: float, seed: int) -> None:
        self.codes = codes
        self.batch = batch
        self.ring_photos = ring_photos
        self.seed = seed

    def __iter__(self) -> Iterator[RingBatch]:
        random = np.random.default_rng(self.seed)
        members = [torch.nonzero(self.codes.group == group)[:, 0] for group in self.codes.group.unique()]
        share = -(-self.batch // len(members))
        while True:
            rows = torch.cat([rows[torch.from_numpy(random.integers(len(rows), size=share))] for rows in members])
            yield self._batch(rows[: self.batch], random)

    def _batch(self, rows: Tensor, random: np.random.Generator) -> RingBatch:
        count, views = len(rows), self.codes.codes.shape[2]
        from_ring = random.random(count) < self.ring_photos
        photo = torch.from_numpy(
            np.where(from_ring, random.integers(RING, size=count), random.integers(RING, views, count))
        )
        mirrored = torch.from_numpy(random.integers(2, size=count))
        azimuth = self.codes.azimuth_index[rows, photo]
        # In a mirrored world azimuths run the other way round.
        turn = torch.arange(RING) * (1 - 2 * mirrored)[:, None]
        ring = (azimuth[:, None] + turn) % RING
        return RingBatch(
            photo=self.codes.codes[rows, mirrored, photo].float(),
            elevation_deg=self.codes.elevation_deg[rows, photo],
            ring=self.codes.codes[rows[:, None], mirrored[:, None], ring].float(),
        )


class RingData(LightningDataModule):
    """Rings of views from folders of packs.

    Args:
        train: folders of packs; each gives an equal share of every batch.
        autoencoder: weights of the autoencoder whose latents are described.
        cache: file that keeps the components and codes, so that further trainings on the same data start at once.
        without_fold: leaves out the objects of this fold (0 or 1), for priors that train other networks.
        codes: principal components per view.
        fit_objects: from how many objects of each folder the components are fitted.
        batch: photos per step.
        ring_photos: share of photos taken from the ring; the others are at random elevations.
        seed: of the batches.
    """

    def __init__(
        self,
        train: list[str],
        autoencoder: str = "bundled:patch-vae",
        cache: str = "renders/ring-codes.safetensors",
        without_fold: int | None = None,
        codes: int = 384,
        fit_objects: int = 400,
        batch: int = 512,
        ring_photos: float = 0.3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.folders = [Path(folder) for folder in train]
        self.autoencoder = autoencoder
        self.cache = Path(cache)
        self.without_fold = without_fold
        self.code_count = codes
        self.fit_objects = fit_objects
        self.batch, self.ring_photos, self.seed = batch, ring_photos, seed

    def setup(self, stage: str) -> None:
        """Fits the components and describes every view by its codes, or reads them from the cache."""
        groups = [packs_in(folder) for folder in self.folders]
        key = fingerprint(weights.identity(self.autoencoder), self.code_count, self.fit_objects, groups)
        if not _is_cached(self.cache, key):
            self._describe(groups, key)
        tensors = load_file(self.cache)
        codes = RingCodes(*(tensors[name] for name in RingCodes._fields))
        self.codes = codes if self.without_fold is None else codes.only(codes.fold != self.without_fold)
        stored = {name[len(_PART) :]: tensor for name, tensor in tensors.items() if name.startswith(_PART)}
        channels, count = len(stored["pixel_scale"]), stored["mean"].numel()
        self.components = ViewComponents(channels, round((count / channels) ** 0.5), self.code_count)
        self.components.load_state_dict(stored)

    def _describe(self, groups: list[list[Path]], key: str) -> None:
        autoencoder = load_autoencoder(self.autoencoder)
        components = self._components(groups, autoencoder)
        parts = [_codes_of(paths, group, autoencoder, components) for group, paths in enumerate(groups)]
        codes = RingCodes(*(torch.cat(column) for column in zip(*parts, strict=True)))
        tensors = {**codes._asdict(), **{_PART + name: tensor for name, tensor in components.state_dict().items()}}
        with atomic_file(self.cache) as unfinished:
            save_file(tensors, unfinished, metadata={"key": key})

    def train_dataloader(self) -> DataLoader:
        """The endless stream."""
        return DataLoader(RingBatches(self.codes, self.batch, self.ring_photos, self.seed), batch_size=None)

    def _components(self, groups: list[list[Path]], autoencoder: Autoencoder) -> ViewComponents:
        random = np.random.default_rng(0)
        chosen = [paths[i] for paths in groups for i in random.permutation(len(paths))[: self.fit_objects]]
        latents = torch.cat([_latents(ViewPack.load(path).rgba, autoencoder).half() for path in chosen])
        components = ViewComponents(latents.shape[1], latents.shape[-1], self.code_count)
        components.fit(latents, pixel_scale(autoencoder))
        return components


def _is_cached(path: Path, key: str) -> bool:
    if not path.is_file():
        return False
    with safe_open(path, framework="pt") as file:
        return bool(file.metadata()["key"] == key)


@torch.inference_mode()
def _latents(rgba: Tensor, autoencoder: Autoencoder) -> Tensor:
    return autoencoder.encode(on_white(rgba))


def pixel_scale(autoencoder: Autoencoder) -> Float[Tensor, "C"]:
    """How much pixels change, as a root of summed squares, when one latent number of each channel changes by 1."""
    size = 2 * autoencoder.factor
    flat = autoencoder.encode(torch.ones(1, 4, size, size))
    steps = flat.repeat(autoencoder.latent_channels, 1, 1, 1)
    for channel in range(autoencoder.latent_channels):
        steps[channel, channel, 0, 0] += 1
    with torch.inference_mode():
        linear = autoencoder.network.linear
        return (linear(steps) - linear(flat)).square().sum((1, 2, 3)).sqrt().clone()


def _codes_of(paths: list[Path], group: int, autoencoder: Autoencoder, components: ViewComponents) -> RingCodes:
    codes, azimuths, elevations, folds = [], [], [], []
    for path in paths:
        pack = ViewPack.load(path)
        both = [components.encode(_latents(rgba, autoencoder)) for rgba in (pack.rgba, pack.rgba.flip(-1))]
        codes.append(torch.stack(both).half())
        azimuths.append(pack.azimuth_index.clone())  # a view into the file would keep all of it in memory
        elevations.append(pack.elevation_deg.clone())
        folds.append(fold_of(pack.family))
    return RingCodes(
        torch.stack(codes),
        torch.stack(azimuths),
        torch.stack(elevations),
        torch.full((len(paths),), group),
        torch.tensor(folds),
    )
