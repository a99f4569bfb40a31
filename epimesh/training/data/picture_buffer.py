"""Pictures and depth of the objects that were rendered last, for trainings that need more than latents."""

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from safetensors.torch import load_file, save_file
from torch import Tensor

from epimesh.cameras import RING
from epimesh.data.packs.online_rendering import ObjectViews
from epimesh.data.packs.view_pack import EXTRA
from epimesh.diffusion.autoencoder import Autoencoder
from epimesh.files.atomic import atomic_file
from epimesh.training.data.latents import RingLatents, random_photos
from epimesh.training.data.pack_data import on_white

_PARTS = ("rgba", "depth", "azimuth_index", "elevation_deg", "fold")


class RingWithDepth(NamedTuple):
    """B objects: rings of views that begin at the azimuth of the photo.

    Args:
        rgba: view i is 360 i / V degrees from the photo, at elevation 30; premultiplied, in 8 bits.
        depth: camera z of these views in scene units, infinite where nothing is.
        photo: premultiplied RGBA in 8 bits.
        elevation_deg: of the photo's camera.
    """

    rgba: UInt8[Tensor, "B V 4 H W"]
    depth: Float[Tensor, "B V H W"]
    photo: UInt8[Tensor, "B 4 H W"]
    elevation_deg: Float[Tensor, "B"]


class RingPictures(NamedTuple):
    """B photos with the rings of their objects, both as pictures and as latents."""

    pictures: RingWithDepth
    latents: RingLatents


class PicturePool:
    """The objects that were rendered last; the oldest make room for new ones.

    Args:
        capacity: how many objects; about 1.8 MB each at 128 pixels.
        size: pixels per side.
        device: where they are kept.
    """

    def __init__(self, capacity: int, size: int, device: str) -> None:
        self.rgba: UInt8[Tensor, "N V 4 H W"] = torch.zeros(
            capacity, RING + EXTRA, 4, size, size, dtype=torch.uint8, device=device
        )
        self.depth: Float[Tensor, "N 16 H W"] = torch.zeros(capacity, RING, size, size, dtype=torch.half, device=device)
        self.azimuth_index = torch.zeros(capacity, RING + EXTRA, dtype=torch.long, device=device)
        self.elevation_deg = torch.zeros(capacity, RING + EXTRA, device=device)
        self.fold = torch.zeros(capacity, dtype=torch.long, device=device)
        self.seen = 0

    def __len__(self) -> int:
        return min(self.seen, len(self.fold))

    def add(self, found: ObjectViews) -> None:
        """Takes in objects."""
        device = self.fold.device
        places = (self.seen + torch.arange(len(found.fold), device=device)) % len(self.fold)
        for name in _PARTS:
            getattr(self, name)[places] = getattr(found, name).to(device)
        self.seen += len(found.fold)

    def save(self, file: Path) -> None:
        """Writes a safetensors file, whole or not at all."""
        with atomic_file(file) as unfinished:
            save_file({name: getattr(self, name)[: len(self)].cpu() for name in _PARTS}, unfinished)

    @classmethod
    def load(cls, file: Path) -> "PicturePool":
        """The objects that were saved; they stay on disk until they are needed."""
        stored = load_file(file)
        pool = cls(0, stored["rgba"].shape[-1], "cpu")
        for name in _PARTS:
            setattr(pool, name, stored[name])
        pool.seen = len(pool.fold)
        return pool

    def rings(self, count: int, ring_photos: float, autoencoder: Autoencoder) -> RingPictures:
        """Random photos with the rings of their objects, which begin where the photo stands."""
        device = self.fold.device
        rows = torch.randint(len(self), (count,), device=device)
        return self.chosen(rows, random_photos(count, ring_photos, device), autoencoder)

    def chosen(self, rows: Int[Tensor, "B"], photo: Int[Tensor, "B"], autoencoder: Autoencoder) -> RingPictures:
        """The rings of these objects, which begin where the view stands that serves as the photo."""
        device = self.fold.device
        ring = (self.azimuth_index[rows, photo][:, None] + torch.arange(RING, device=device)) % RING
        pictures = RingWithDepth(
            rgba=self.rgba[rows[:, None], ring],
            depth=self.depth[rows[:, None], ring].float(),
            photo=self.rgba[rows, photo],
            elevation_deg=self.elevation_deg[rows, photo],
        )
        latents = autoencoder.encode(on_white(pictures.rgba.flatten(0, 1))).unflatten(0, (-1, RING))
        photos = autoencoder.encode(on_white(pictures.photo))
        return RingPictures(pictures, RingLatents(photos, latents, pictures.elevation_deg, self.fold[rows]))
