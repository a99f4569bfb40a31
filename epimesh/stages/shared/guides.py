"""What the guides of all generators share: an autoencoder, a schedule, and which views of the ring are meant."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.diffusion.autoencoder import Autoencoder
from epimesh.diffusion.schedules import NoiseSchedule, Prediction
from epimesh.errors import BadInput
from epimesh.runtime import Runtime

RING_SIZE = 16


@dataclass(frozen=True, eq=False, kw_only=True)
class GuideParts:
    """Half of a `ScoreGuide`: everything but the denoiser.

    Args:
        autoencoder: of the generator, in single precision, for gradients go through it.
        schedule: of the generator.
        prediction: of the generator's network.
        latent_size: side of a view's latents.
        runtime: where the networks are.
    """

    autoencoder: Autoencoder
    schedule: NoiseSchedule
    prediction: Prediction
    latent_size: int
    runtime: Runtime

    @property
    def latent_space(self) -> str:
        """Family of the autoencoder."""
        return self.autoencoder.latent_space

    @property
    def image_size(self) -> int:
        """Side of the images, in pixels."""
        return self.latent_size * self.autoencoder.factor

    def encode(self, rgba: Float[Tensor, "V 4 H W"]) -> Float[Tensor, "V C h w"]:
        """Latents of images on white with their coverage, differentiable."""
        return self.autoencoder.encode(rgba)

    def decode(self, latents: Float[Tensor, "V C h w"]) -> Float[Tensor, "V 4 H W"]:
        """Images on white with their coverage, differentiable."""
        return self.autoencoder.decode(latents)


def ring_numbers(cameras: Cameras) -> list[int]:
    """Which views of the standard ring these are.

    Raises:
        BadInput: one of them is none of these.
    """
    ring = Cameras.ring(RING_SIZE, size=8)
    turns = cameras.world_to_camera.cpu()[:, None] - ring.world_to_camera[None]
    apart, numbers = turns.abs().amax(dim=(2, 3)).min(dim=1)
    if bool((apart > 1e-3).any()):
        azimuth, elevation = cameras[int(apart.argmax())].azimuth_elevation_deg()
        raise BadInput(
            f"A view from azimuth {float(azimuth):.1f} and elevation {float(elevation):.1f} was asked of a guide that "
            f"knows only the ring.\nExpected Cameras.ring({RING_SIZE}): azimuths 0, 22.5, ... at elevation 30; or the "
            "published Zero123, which knows any."
        )
    return [int(number) for number in numbers]


def in_network_precision(x: Tensor, runtime: Runtime) -> Tensor:
    """Latents where and as the network wants them."""
    return x.to(runtime.device, runtime.dtype)


def times_of(x: Tensor, time: int) -> Tensor:
    """The time once per row."""
    return torch.full((len(x),), time, device=x.device)
