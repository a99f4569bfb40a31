"""Trains the epipolar decoder of the small autoencoder: views that see each other, and a photo that is sharp."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from epimesh.cameras import Cameras
from epimesh.data.posed.depth_noise import DepthNoise
from epimesh.decoders.epipolar.geometry import Segments
from epimesh.decoders.epipolar.small_network import SmallEpipolarVae
from epimesh.diffusion.patch_autoencoder import PatchAutoencoder
from epimesh.training.base import Training
from epimesh.training.data.pack_data import on_white
from epimesh.training.data.picture_buffer import RingWithDepth
from epimesh.training.patch_autoencoder.training import reconstruction_loss
from epimesh.weights import resolve
from epimesh.weights.loading import load_network

_COARSE = 4  # values per side of the coarse half of the noise on latents


class SmallEpipolarDecoderTraining(Training):
    """Learns to decode views together, from latents and depth that are as wrong as they will be.

    Args:
        export: folder that the averaged network is saved to.
        autoencoder: weights of the patch autoencoder that it begins as.
        start_from: exported weights to go on from instead; null begins anew.
        minutes: length of the schedule by wall clock.
        rate: peak learning rate of what is new; what the autoencoder knew already learns at a third of it.
        views_per_step: how many views of every object are decoded to the end, and supervised.
        latent_noise: largest deviation of the noise on latents, as a share of theirs; each object draws its own.
        depth_noise: errors of the depth.
        network: settings of a network that begins anew, beside those of the autoencoder.

    Source: Tang et al. (arXiv:2408.14016), section 3, at a size of this project; noise on latents is ours.
    """

    def __init__(
        self,
        export: str,
        autoencoder: str = "bundled:patch-vae",
        start_from: str | None = None,
        minutes: float = 10.0,
        rate: float = 1e-3,
        views_per_step: int = 4,
        latent_noise: float = 0.4,
        depth_noise: DepthNoise | None = None,
        network: dict[str, Any] | None = None,
    ) -> None:
        if start_from is None:
            plain = load_network(PatchAutoencoder, resolve(autoencoder))
            begun = SmallEpipolarVae.from_plain(plain, **(network or {}))
        else:
            begun = load_network(SmallEpipolarVae, resolve(start_from))
        super().__init__(begun.train().requires_grad_(True), export=export, minutes=minutes, rate=rate, decay=0.998)
        self.views_per_step = views_per_step
        self.latent_noise = latent_noise
        self.depth_noise = depth_noise or DepthNoise()
        self._random: torch.Generator | None = None  # of the depth noise, on the device of the training

    def shares(self) -> list[tuple[float, Iterable[nn.Parameter]]]:
        """The plain decoder is good already; the rest begins at zero."""
        plain = list(self.network.plain.parameters())
        known = {id(parameter) for parameter in plain}
        return [(0.3, plain), (1.0, [one for one in self.network.parameters() if id(one) not in known])]

    def training_step(self, batch: tuple[RingWithDepth, Tensor | None], batch_idx: int) -> Tensor:
        """Reconstruction of some views, from the latents that come along, or from the true ones with noise."""
        return self.loss(*batch)

    def loss(self, batch: RingWithDepth, latents: Float[Tensor, "B V C h w"] | None = None) -> Float[Tensor, ""]:
        """What the network gets wrong in some views of every object.

        Args:
            batch: on any device.
            latents: of the ring, as a generator made them; if not given, the true ones with noise.
        """
        with torch.no_grad():
            objects, views = batch.rgba.shape[:2]
            true = on_white(batch.rgba.flatten(0, 1))
            if latents is None:
                clean = self.network.plain.encode(true).unflatten(0, (objects, views))
                latents = disturbed(clean, self.latent_noise)
            chosen = torch.rand(objects, views, device=true.device).argsort(1)[:, : self.views_per_step]
            depth = self.depth_noise(batch.depth.float().flatten(0, 1), self._generator(true.device))
            noisy = batch._replace(depth=depth.unflatten(0, (objects, views)))
            segments = self.segments(*ring_cameras(noisy), noisy.depth, chosen, jittered=True)
            rows = (chosen + views * torch.arange(objects, device=true.device)[:, None]).flatten()
        made = self.network(latents, segments, on_white(batch.photo)[:, :3], chosen)
        # Latents are wrong about the outline here. Were pixels of the object to count more, the outline would grow.
        return reconstruction_loss(made.flatten(0, 1).float(), true[rows], background=2.0)

    def segments(self, *inputs: Any, **settings: Any) -> list[Segments] | None:
        """As `SmallEpipolarVae.segments`; a variant of the decoder may look elsewhere, or nowhere."""
        return self.network.segments(*inputs, **settings)

    def _generator(self, device: torch.device) -> torch.Generator:
        if self._random is None:
            self._random = torch.Generator(device)
        return self._random


def ring_cameras(batch: RingWithDepth) -> tuple[Cameras, Cameras]:
    """The standard cameras of the ring, the same for all objects, and those of the photos, on the batch's device."""
    views, size, device = batch.rgba.shape[1], batch.rgba.shape[-1], batch.rgba.device
    ring = Cameras.ring(views, size=size)
    ring = Cameras(ring.world_to_camera.to(device), ring.intrinsics.to(device), size, size)
    elevation = batch.elevation_deg.float()
    return ring, Cameras.on_sphere(torch.zeros_like(elevation), elevation, size=size)


def disturbed(latents: Float[Tensor, "B V C h w"], largest: float) -> Float[Tensor, "B V C h w"]:
    """Latents as a generator might make them: blurred, and with noise of pixels and of regions, in each view its own.

    Every object has its own strength, from nothing to `largest` standard deviations of each channel.
    """
    objects, views = latents.shape[:2]
    flat = latents.flatten(0, 1)
    strength, blur = torch.rand(2, objects, 1, 1, 1, 1, device=latents.device).unbind(0)
    blurred = torch.nn.functional.avg_pool2d(flat, 3, stride=1, padding=1, count_include_pad=False)
    softer = latents + (largest * blur) * (blurred.unflatten(0, (objects, views)) - latents)
    fine = torch.randn_like(flat)
    coarse = torch.randn(*flat.shape[:2], _COARSE, _COARSE, device=flat.device).to(flat)
    regions = torch.nn.functional.interpolate(coarse, flat.shape[2:], mode="bicubic")
    noise = ((fine + regions) / 2**0.5).unflatten(0, (objects, views))
    return softer + largest * strength * noise * flat.std((0, 2, 3))[:, None, None]
