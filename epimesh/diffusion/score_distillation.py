"""Score distillation: the gradient by which a diffusion model pulls an image, or anything that draws one, to its modes.

    dL/dphi = E_{t, noise} [ w(t) (noise_hat(x_t; t) - noise) dx/dphi ],   w(t) = 1 - a_t

The network's own derivative is left out, so it runs without a graph. Only appearance should be learned by it: geometry
and features together collapse.

Source: Poole et al., "DreamFusion" (arXiv:2209.14988), equation 3; Jambon, ETH Zurich (2023), for what works and what
does not. The weight and the range of times are this project's choice, for neither states them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.diffusion.sampler import Denoise, fresh_noise
from epimesh.diffusion.schedules import NoiseSchedule, Prediction
from epimesh.diffusion.score_guide import as_noise
from epimesh.errors import BadInput


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreGradient:
    """What a denoiser says is wrong with clean latents.

    Args:
        schedule: of the denoiser.
        prediction: of the denoiser.
        earliest: the least noise that is tried, as a share of the schedule's times.
        latest: the most.

    Raises:
        BadInput: no time lies between them.
    """

    schedule: NoiseSchedule
    prediction: Prediction = "eps"
    earliest: float = 0.02
    latest: float = 0.98

    def __post_init__(self) -> None:
        if not 0 <= self.earliest < self.latest <= 1:
            raise BadInput(
                f"earliest is {self.earliest} and latest {self.latest}, expected 0 <= earliest < latest <= 1.\n"
                "They are shares of the schedule's times, 0 (clean) to 1 (noise); .02 and .98 are usual."
            )

    def random_time(self, generator: torch.Generator | None) -> int:
        """A time between the two, each as likely as any other."""
        low, high = (round(share * (len(self.schedule) - 1)) for share in (self.earliest, self.latest))
        return int(torch.randint(low, high + 1, (), generator=generator))

    @torch.no_grad()
    def __call__(
        self, denoise: Denoise, clean: Float[Tensor, "B *shape"], time: int, noise: Float[Tensor, "B *shape"]
    ) -> Float[Tensor, "B *shape"]:
        """w(t) (predicted noise - noise), without a graph.

        Args:
            denoise: predicts for noisy latents, guidance included.
            clean: the latents as they are.
            time: how noisy they are made.
            noise: standard normal.
        """
        kept = self.schedule.alpha_cumprod_at(time)
        noisy = kept**0.5 * clean + (1 - kept) ** 0.5 * noise
        predicted = as_noise(denoise, self.schedule, self.prediction)(noisy, time)
        return (1 - kept) * (predicted - noise)

    def at_random(
        self, denoise: Denoise, clean: Float[Tensor, "B *shape"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "B *shape"]:
        """The same at a random time with fresh noise."""
        return self(denoise, clean, self.random_time(generator), fresh_noise(clean, generator))


def surrogate(clean: Float[Tensor, "B *shape"], gradient: Float[Tensor, "B *shape"]) -> Float[Tensor, ""]:
    """A number whose derivative with respect to `clean` is `gradient`; its value means nothing."""
    return (gradient.detach() * clean).sum()


def saturated_share(values: Float[Tensor, "*shape"], margin: float = 0.01) -> float:
    """Share of values in [0, 1] that are at an end: what score distillation drives colours to."""
    return float(((values <= margin) | (values >= 1 - margin)).float().mean())
