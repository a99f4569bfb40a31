"""Latents of the objects that were rendered last, in the memory of the device that learns from them."""

import time
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from epimesh.cameras import RING
from epimesh.data.packs.online_rendering import PROCEDURAL, REAL, ObjectViews
from epimesh.data.packs.view_pack import EXTRA
from epimesh.diffusion.autoencoder import Autoencoder
from epimesh.training.data.latents import PairLatents, RingLatents, random_photos
from epimesh.training.data.pack_data import on_white
from epimesh.training.data.picture_buffer import PicturePool


@runtime_checkable
class Supply(Protocol):
    """Where new objects come from, such as `EndlessViews`."""

    slots: ObjectViews

    def take(self, most: int = 64) -> ObjectViews | None:
        """Objects that are ready, or None; does not wait."""


class CircularBuffer:
    """Objects of one group; the oldest make room for new ones.

    Args:
        capacity: how many objects.
        latents: channels, height and width.
        device: where they are kept.
    """

    def __init__(self, capacity: int, latents: tuple[int, int, int], device: str) -> None:
        views = RING + EXTRA
        self.latents = torch.zeros(capacity, 2, views, *latents, dtype=torch.half, device=device)
        self.azimuth_index = torch.zeros(capacity, views, dtype=torch.long, device=device)
        self.elevation_deg = torch.zeros(capacity, views, device=device)
        self.fold = torch.zeros(capacity, dtype=torch.long, device=device)
        self.seen = 0

    def __len__(self) -> int:
        return min(self.seen, len(self.fold))

    def add(
        self,
        latents: Float[Tensor, "B 2 V C h w"],
        azimuth_index: Int[Tensor, "B V"],
        elevation_deg: Float[Tensor, "B V"],
        fold: Int[Tensor, "B"],
    ) -> None:
        """Takes in objects. Second axis of the latents: as they are, and mirrored left to right."""
        places = (self.seen + torch.arange(len(fold), device=self.fold.device)) % len(self.fold)
        self.latents[places] = latents.half()
        self.azimuth_index[places] = azimuth_index
        self.elevation_deg[places] = elevation_deg
        self.fold[places] = fold
        self.seen += len(fold)

    def rings(self, count: int, ring_photos: float) -> RingLatents:
        """Random photos with the rings of their objects, which begin where the photo stands."""
        device = self.fold.device
        rows = torch.randint(len(self), (count,), device=device)
        mirrored = torch.randint(2, (count,), device=device)
        photo = random_photos(count, ring_photos, device)
        # In a mirrored world azimuths run the other way round.
        turns = torch.arange(RING, device=device) * (1 - 2 * mirrored)[:, None]
        ring = (self.azimuth_index[rows, photo][:, None] + turns) % RING
        return RingLatents(
            photo=self.latents[rows, mirrored, photo].float(),
            ring=self.latents[rows[:, None], mirrored[:, None], ring].float(),
            elevation_deg=self.elevation_deg[rows, photo],
            fold=self.fold[rows],
        )


class LatentPool:
    """Real and procedural objects in equal shares, renewed while it is used.

    Args:
        views: where new objects come from.
        autoencoder: whose latents are kept; on the device that learns.
        capacity: objects of each group.
        ring_photos: share of photos taken from the ring; the others are at random elevations.
    """

    def __init__(
        self, views: Supply, autoencoder: Autoencoder, capacity: int, device: str, ring_photos: float = 0.3
    ) -> None:
        self.views = views
        self.autoencoder = autoencoder
        self.device = device
        self.ring_photos = ring_photos
        size = views.slots.rgba.shape[-1] // autoencoder.factor
        shape = (autoencoder.latent_channels, size, size)
        self.buffers = {group: CircularBuffer(capacity, shape, device) for group in (REAL, PROCEDURAL)}
        self.pictures: PicturePool | None = None  # takes in the same objects, where there is one

    def wait_for(self, objects: int, seconds: float = 600.0) -> None:
        """Returns when both groups hold so many objects.

        Raises:
            TimeoutError: they did not come.
        """
        until = time.monotonic() + seconds
        while min(len(shelf) for shelf in self.buffers.values()) < objects:
            if self.renew() is None:
                time.sleep(0.05)
            if time.monotonic() > until:
                raise TimeoutError(f"After {seconds:.0f} s there were fewer than {objects} objects of each group.")

    @torch.no_grad()
    def renew(self) -> ObjectViews | None:
        """Takes in what was rendered since; returns it too."""
        found = self.views.take()
        if found is None:
            return None
        images = found.rgba.to(self.device)
        both = torch.stack([images, images.flip(-1)], dim=1).flatten(0, 2)
        latents = self.autoencoder.encode(on_white(both)).unflatten(0, (len(images), 2, -1))
        for group, shelf in self.buffers.items():
            rows = torch.nonzero(found.group == group)[:, 0]
            columns = [found.azimuth_index, found.elevation_deg, found.fold]
            shelf.add(latents[rows.to(self.device)], *(column[rows].to(self.device) for column in columns))
        if self.pictures is not None:
            self.pictures.add(found)
        return found

    def rings(self, count: int) -> Iterator[RingLatents]:
        """Endless batches of `count` objects."""
        while True:
            self.renew()
            parts = [shelf.rings(count // 2, self.ring_photos) for shelf in self.buffers.values()]
            yield RingLatents(*(torch.cat(column) for column in zip(*parts, strict=True)))

    def pairs(self, count: int, per_object: int = 4) -> Iterator[PairLatents]:
        """Endless batches of `count` pairs; some share their photo."""
        for ring in self.rings(count // per_object):
            turn = torch.rand(len(ring.fold), RING, device=self.device).argsort(dim=1)[:, :per_object]
            target = ring.ring[torch.arange(len(turn), device=self.device)[:, None], turn].flatten(0, 1)
            photo, elevation_deg, fold = (
                column.repeat_interleave(per_object, dim=0) for column in (ring.photo, ring.elevation_deg, ring.fold)
            )
            yield PairLatents(photo, target, turn.flatten(), elevation_deg, fold)
