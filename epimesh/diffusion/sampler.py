"""One deterministic or stochastic sampling loop. It knows nothing but a function that denoises."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.diffusion.schedules import NoiseSchedule, Prediction, Window
from epimesh.errors import BadInput

Track = Callable[[Sequence[int]], Iterable[int]]
NoiseLike: TypeAlias = Callable[[Tensor], Tensor]
Random: TypeAlias = torch.Generator | Sequence[torch.Generator] | NoiseLike | None


@runtime_checkable
class Denoise(Protocol):
    """Predicts noise, velocity or the clean signal from a noisy one."""

    def __call__(self, x: Tensor, time: int, /) -> Tensor:
        """The prediction for `x` at `time`, of the same shape."""
        ...


@dataclass(frozen=True)
class Pass:
    """One evaluation of the denoiser: which time it is at, and which of how many passes at this time it is.

    Args:
        time: the time that the denoiser is given.
        number: 1 for the first pass at this time.
        passes: how many there are at this time.
    """

    time: int
    number: int = 1
    passes: int = 1

    @property
    def is_last(self) -> bool:
        """Whether the sampler goes on to the next time afterwards."""
        return self.number == self.passes


Listen = Callable[[Pass], None]


def ignore(moment: Pass) -> None:
    """Listens to nothing."""


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """Takes the step from a noisy time several times: after each but the last, noise is added back.

    Args:
        passes: evaluations of the denoiser at every time in the window, all counted; 1 changes nothing.
        window: the times at which to repeat.

    Raises:
        BadInput: there is less than one pass.

    Source:
        Sobol et al., "Zero-to-Hero" (arXiv:2405.18677), per-step resampling; its R is `passes`.
    """

    passes: int = 5
    window: Window = Window(800)

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise BadInput(f"passes (R) is {self.passes}; it has to be at least 1, which is plain sampling.")

    def at(self, time: int) -> int:
        """How many passes `time` gets."""
        return self.passes if time in self.window else 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Ddim:
    """The DDIM sampler.

    Args:
        schedule: how much signal is left at every time.
        timesteps: the times to visit, descending; none returns the start.
        prediction: what the denoiser predicts.
        eta: 0 is deterministic; 1 adds as much noise as the ancestral sampler.
        resampling: repeats noisy steps; None takes every step once.
        until: the time whose noise is to be left; None goes on to the clean signal.
        noise_at_end: whether the last step adds the noise that `eta` asks for, too; SyncDreamer's leaves it out.

    Source:
        Song et al., "Denoising Diffusion Implicit Models" (2021), equations 12 and 16.
    """

    schedule: NoiseSchedule
    timesteps: Sequence[int]
    prediction: Prediction = "eps"
    eta: float = 0.0
    resampling: Resampling | None = None
    until: int | None = None
    noise_at_end: bool = True

    @property
    def evaluations(self) -> int:
        """How often the denoiser is called."""
        return sum(self._passes(time) for time in self.timesteps)

    def split(self, time: int) -> tuple["Ddim", "Ddim"]:
        """A sampler of the times from `time` up, and one of the times below that goes on with what the first made.

        One after the other they do what the whole does, so rows of the batch that are no longer needed can be left out
        in between.
        """
        early = [visited for visited in self.timesteps if visited >= time]
        late = list(self.timesteps)[len(early) :]
        return replace(self, timesteps=early, until=late[0] if late else self.until), replace(self, timesteps=late)

    def __call__(
        self,
        denoise: Denoise,
        noise: Float[Tensor, "B *shape"],
        *,
        start: Float[Tensor, "B *shape"] | None = None,
        generator: Random = None,
        track: Track = list,
        listen: Listen = ignore,
    ) -> Float[Tensor, "B *shape"]:
        """The clean signal.

        Args:
            denoise: makes the predictions.
            noise: standard normal; for the second part of a `split` sampler, what the first part made.
            start: a guess of the clean signal, noised to the first time; None begins from pure noise.
            generator: of the noise that `eta` and `resampling` add; one for all, or one for every row of the batch,
                and then no row depends on which others are there; or a function that makes noise like a tensor.
            track: hears the progress.
            listen: is told of every evaluation before it happens.

        Raises:
            ValueError: there is neither a time to visit nor a start.
        """
        times = list(self.timesteps)
        if start is None and not times:
            raise ValueError("without timesteps there is nothing to sample from noise: give a start or timesteps")
        x = noise if start is None else self._noised_start(start, noise)
        following = dict(zip_longest(times, times[1:], fillvalue=self.until))
        for time in track(times):
            passes = self._passes(time)
            for number in range(1, passes + 1):
                listen(Pass(time, number, passes))
                stepped = self._step(x, denoise(x, time), time, following[time], generator)
                x = stepped if number == passes else self.renoised(stepped, following[time], time, generator)
        return x

    def renoised(
        self, x: Float[Tensor, "B *shape"], low: int | None, high: int, generator: Random = None
    ) -> Float[Tensor, "B *shape"]:
        """The forward process from the noise of time `low` (None is the end of sampling) up to that of `high`."""
        kept = self.schedule.alpha_cumprod_at(high) / self.schedule.alpha_cumprod_at(low)
        return kept**0.5 * x + max(1 - kept, 0.0) ** 0.5 * fresh_noise(x, generator)

    def _passes(self, time: int) -> int:
        return 1 if self.resampling is None else self.resampling.at(time)

    def _noised_start(self, start: Tensor, noise: Tensor) -> Tensor:
        if not self.timesteps:
            return start
        kept = self.schedule.alpha_cumprod_at(self.timesteps[0])
        return kept**0.5 * start + (1 - kept) ** 0.5 * noise

    def _step(self, x: Tensor, predicted: Tensor, time: int, following: int | None, generator: Random) -> Tensor:
        kept, kept_next = self.schedule.alpha_cumprod_at(time), self.schedule.alpha_cumprod_at(following)
        clean, noise = clean_and_noise(x, predicted, kept, self.prediction)
        fresh = self.eta * ((1 - kept_next) / (1 - kept) * (1 - kept / kept_next)) ** 0.5
        x = kept_next**0.5 * clean + max(1 - kept_next - fresh**2, 0.0) ** 0.5 * noise
        if self.eta == 0 or (following is None and not self.noise_at_end):
            return x
        return x + fresh * fresh_noise(x, generator)


def fresh_noise(like: Float[Tensor, "B *shape"], generator: Random) -> Float[Tensor, "B *shape"]:
    """Standard normal noise, from one generator, from one for every row, or from a function.

    Raises:
        ValueError: there are not as many generators as rows.
    """
    if generator is None or isinstance(generator, torch.Generator):
        # From page-locked memory noise is copied while the GPU works on; for any other it would have to stop.
        made = torch.randn(like.shape, generator=generator, pin_memory=like.is_cuda)
        return made.to(like, non_blocking=True)
    if callable(generator):
        return generator(like)
    if len(generator) != len(like):
        raise ValueError(f"got {len(generator)} generators for {len(like)} rows; give one, or one for every row")
    return torch.stack([torch.randn(like.shape[1:], generator=one) for one in generator]).to(like)


def clean_and_noise(x: Tensor, predicted: Tensor, kept: float, prediction: Prediction) -> tuple[Tensor, Tensor]:
    """The clean signal and the noise that a prediction means, for x = sqrt(kept) clean + sqrt(1 - kept) noise."""
    signal, spread = kept**0.5, (1 - kept) ** 0.5
    if prediction == "v":
        return signal * x - spread * predicted, signal * predicted + spread * x
    if prediction == "x0":
        return predicted, (x - signal * predicted) / spread
    return (x - spread * predicted) / signal, predicted
