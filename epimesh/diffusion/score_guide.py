"""What every tool that lifts a diffusion model into 3D asks of it: one face for small, joint and published models."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.diffusion.sampler import Denoise, clean_and_noise
from epimesh.diffusion.schedules import NoiseSchedule, Prediction
from epimesh.errors import BadInput, StageMismatch
from epimesh.photo import Photo
from epimesh.runtime import Runtime


@runtime_checkable
class ScoreGuide(Protocol):
    """A model of what the views of a photo's object look like.

    Latents have about unit variance. Its networks' weights need no gradients; encoder and decoder pass them through.
    """

    @property
    def schedule(self) -> NoiseSchedule:
        """Noise of every time."""
        ...

    @property
    def prediction(self) -> Prediction:
        """What the network predicts; `as_noise` converts it."""
        ...

    @property
    def latent_space(self) -> str:
        """Family of the autoencoder."""
        ...

    @property
    def latent_size(self) -> int:
        """Side of a view's latents."""
        ...

    @property
    def image_size(self) -> int:
        """Side of the images that `encode` takes, in pixels."""
        ...

    @property
    def joint(self) -> bool:
        """Whether the whole standard ring has to be asked for at once."""
        ...

    def encode(self, rgba: Float[Tensor, "V 4 H W"]) -> Float[Tensor, "V C h w"]:
        """Latents of images on white with their coverage, differentiable."""
        ...

    def decode(self, latents: Float[Tensor, "V C h w"]) -> Float[Tensor, "V 4 H W"]:
        """Images on white with their coverage, differentiable."""
        ...

    def denoiser(self, photo: Photo, cameras: Cameras, guidance: float) -> Denoise:
        """Predicts for the latents of these views, in this order.

        Args:
            photo: of the object.
            cameras: of the views.
            guidance: 1 is the conditional prediction, 0 the unconditional one.

        Raises:
            BadInput: the model knows no views from there.
        """
        ...


class NullParts(NamedTuple):
    """What null-text inversion needs of a guide; both predict noise.

    Args:
        conditional: without guidance.
        unconditional: with an embedding in the place of every condition.
        null: the embedding that was trained for it.
    """

    conditional: Denoise
    unconditional: Callable[[Tensor, int, Tensor], Tensor]
    null: Float[Tensor, "V N D"]


@runtime_checkable
class NullGuide(Protocol):
    """A guide whose lack of conditions is an embedding that can be learned."""

    def null_parts(self, photo: Photo, cameras: Cameras) -> NullParts:
        """For these views."""
        ...


@runtime_checkable
class Guiding(Protocol):
    """A stage whose model can guide."""

    def guide(self, runtime: Runtime) -> ScoreGuide:
        """The model, ready to be asked."""
        ...


def guide_of(stage: object, runtime: Runtime, latent_space: str | None = None) -> ScoreGuide:
    """The guide that a stage offers.

    Args:
        stage: of any kind.
        runtime: where it computes.
        latent_space: which it has to have; None takes any.

    Raises:
        BadInput: this stage cannot guide.
        StageMismatch: its latents are of another space.
    """
    if not isinstance(stage, Guiding):
        raise BadInput(
            f"guide is {type(stage).__name__}, which cannot tell how probable a view is.\n"
            "Expected a generator that can: SmallZero123, SmallSyncDreamer or Zero123."
        )
    guide = stage.guide(runtime)
    if latent_space is not None and guide.latent_space != latent_space:
        raise StageMismatch(
            f"guide ({type(stage).__name__}) works on '{guide.latent_space}' latents, the views are '{latent_space}'.\n"
            "Choose a guide of the same family: SmallZero123 for 'patch', Zero123 for 'sd'."
        )
    return guide


def as_noise(denoise: Denoise, schedule: NoiseSchedule, prediction: Prediction) -> Denoise:
    """The same denoiser, predicting noise; bitwise itself if it does so already."""
    if prediction == "eps":
        return denoise

    def noise(x: Tensor, time: int) -> Tensor:
        return clean_and_noise(x, denoise(x, time), schedule.alpha_cumprod_at(time), prediction)[1]

    return noise


def scaled(conditional: Denoise, unconditional: Denoise, guidance: float) -> Denoise:
    """Classifier-free guidance that asks only for what it needs: one call at scales 1 and 0.

    Source:
        Ho & Salimans, "Classifier-Free Diffusion Guidance" (2022), equation 6 with scale = 1 + w.
    """
    if guidance == 1:
        return conditional
    if guidance == 0:
        return unconditional

    def denoise(x: Tensor, time: int) -> Tensor:
        without = unconditional(x, time)
        return without + guidance * (conditional(x, time) - without)

    return denoise
