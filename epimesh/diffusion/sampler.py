"""One deterministic or stochastic sampling loop. It knows nothing but a function that denoises."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.diffusion.schedules import NoiseSchedule, Prediction

Track = Callable[[Sequence[int]], Iterable[int]]


@runtime_checkable
class Denoise(Protocol):
    """Predicts noise, velocity or the clean signal from a noisy one."""

    def __call__(self, x: Tensor, time: int, /) -> Tensor:
        """The prediction for `x` at `time`, of the same shape."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Ddim:
    """The DDIM sampler.

    Args:
        schedule: how much signal is left at every time.
        timesteps: the times to visit, descending; none returns the start.
        prediction: what the denoiser predicts.
        eta: 0 is deterministic; 1 adds as much noise as the ancestral sampler.

    Source:
        Song et al., "Denoising Diffusion Implicit Models" (2021), equations 12 and 16.
    """

    schedule: NoiseSchedule
    timesteps: Sequence[int]
    prediction: Prediction = "eps"
    eta: float = 0.0

    def __call__(
        self,
        denoise: Denoise,
        noise: Float[Tensor, "B *shape"],
        *,
        start: Float[Tensor, "B *shape"] | None = None,
        generator: torch.Generator | None = None,
        track: Track = list,
    ) -> Float[Tensor, "B *shape"]:
        """The clean signal.

        Args:
            denoise: makes the predictions.
            noise: standard normal.
            start: a guess of the clean signal, noised to the first time; None begins from pure noise.
            generator: of the noise that `eta` adds.
            track: hears the progress.

        Raises:
            ValueError: there is neither a time to visit nor a start.
        """
        times = list(self.timesteps)
        if start is None and not times:
            raise ValueError("without timesteps there is nothing to sample from noise: give a start or timesteps")
        x = noise if start is None else self._noised_start(start, noise)
        following = dict(zip_longest(times, times[1:]))
        for time in track(times):
            x = self._step(x, denoise(x, time), time, following[time], generator)
        return x

    def _noised_start(self, start: Tensor, noise: Tensor) -> Tensor:
        if not self.timesteps:
            return start
        kept = self.schedule.kept_at(self.timesteps[0])
        return kept**0.5 * start + (1 - kept) ** 0.5 * noise

    def _step(
        self, x: Tensor, predicted: Tensor, time: int, following: int | None, generator: torch.Generator | None
    ) -> Tensor:
        kept, kept_next = self.schedule.kept_at(time), self.schedule.kept_at(following)
        clean, noise = clean_and_noise(x, predicted, kept, self.prediction)
        fresh = self.eta * ((1 - kept_next) / (1 - kept) * (1 - kept / kept_next)) ** 0.5
        x = kept_next**0.5 * clean + max(1 - kept_next - fresh**2, 0.0) ** 0.5 * noise
        if self.eta == 0:
            return x
        return x + fresh * torch.randn(x.shape, generator=generator).to(x)


def clean_and_noise(x: Tensor, predicted: Tensor, kept: float, prediction: Prediction) -> tuple[Tensor, Tensor]:
    """The clean signal and the noise that a prediction means, for x = sqrt(kept) clean + sqrt(1 - kept) noise."""
    signal, spread = kept**0.5, (1 - kept) ** 0.5
    if prediction == "v":
        return signal * x - spread * predicted, signal * predicted + spread * x
    if prediction == "x0":
        return predicted, (x - signal * predicted) / spread
    return (x - spread * predicted) / signal, predicted
