"""A guide that can be worked out by hand: views are Gaussian around a known one, and latents are the pixels."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.diffusion.sampler import Denoise
from epimesh.diffusion.schedules import NoiseSchedule
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.runtime import Runtime
from epimesh.views import LatentViews

SCHEDULE = NoiseSchedule.scaled_linear()


def gaussian(mean: Tensor, deviation: float) -> Denoise:
    """The exact noise prediction for clean signals N(mean, deviation^2)."""

    def noise(x: Tensor, time: int) -> Tensor:
        kept = SCHEDULE.alpha_cumprod_at(time)
        variance = kept * deviation**2 + 1 - kept
        return (x - kept**0.5 * mean) * (1 - kept) ** 0.5 / variance

    return noise


@dataclass(eq=False)
class GaussianGuide:
    """A `ScoreGuide` that counts what it is asked.

    Args:
        mean: colour and coverage of every pixel; unconditionally it is black and empty.
        size: of the images.
    """

    mean: Tensor
    size: int = 16
    joint: bool = False
    encoded: list[bool] = field(default_factory=list)
    schedule = SCHEDULE
    prediction = "eps"
    latent_space = "pixels"

    @property
    def latent_size(self) -> int:
        return self.size

    image_size = latent_size

    def encode(self, rgba: Tensor) -> Tensor:
        self.encoded.append(rgba.requires_grad)
        return rgba * 1

    def decode(self, latents: Tensor) -> Tensor:
        return latents.clamp(0, 1)

    def denoiser(self, photo: Photo, cameras: Cameras, guidance: float) -> Denoise:
        return gaussian(guidance * self.mean[:, None, None], 0.1)


@dataclass(frozen=True, kw_only=True)
class Knowing(ViewGenerator):
    """A stage that offers such a guide.

    Args:
        make: makes the guide.
    """

    make: Callable[[], GaussianGuide]
    latent_space = "pixels"
    weights_settings = ()

    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        raise NotImplementedError

    def guide(self, runtime: Runtime) -> GaussianGuide:
        return self.make()
