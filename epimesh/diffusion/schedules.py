"""How noise grows with time, and which times a sampler visits."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from epimesh.errors import BadInput

Prediction = Literal["eps", "v", "x0"]
Spacing = Literal["trailing", "leading"]


@dataclass(frozen=True)
class Window:
    """Times from `t_min` to `t_max`, both included; `time in window` asks.

    Raises:
        BadInput: no time can lie between them.
    """

    t_min: int
    t_max: int = 1000

    def __post_init__(self) -> None:
        if self.t_min > self.t_max:
            raise BadInput(
                f"t_min is {self.t_min} and t_max {self.t_max}: no time lies between them.\n"
                "Times are the noise levels of the schedule, 0 (clean) to 1000; set t_min to at most t_max."
            )

    def __contains__(self, time: int) -> bool:
        return self.t_min <= time <= self.t_max


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """The forward process: x_t = sqrt(a) x_0 + sqrt(1 - a) noise, at times 0 (nearly clean) to T - 1.

    Args:
        alphas_cumprod: share of the clean signal's variance that is left at every time (a, "alpha bar"), in float64.
        ends_clean: whether the last step of a sampler lands on the clean signal (a = 1) or on time 0.
    """

    alphas_cumprod: Float[Tensor, "T"]
    ends_clean: bool = True

    @classmethod
    def scaled_linear(
        cls, times: int = 1000, *, first: float = 0.00085, last: float = 0.012, ends_clean: bool = True
    ) -> "NoiseSchedule":
        """The schedule of latent diffusion: square roots of beta grow linearly.

        Source:
            Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models" (2022; its code calls this
            "linear").
        """
        betas = torch.linspace(first**0.5, last**0.5, times, dtype=torch.float64).square()
        return cls((1 - betas).cumprod(0), ends_clean)

    def __len__(self) -> int:
        return len(self.alphas_cumprod)

    def alpha_cumprod_at(self, time: int | None) -> float:
        """a at `time`; None stands for the end of sampling."""
        if time is None:
            return 1.0 if self.ends_clean else float(self.alphas_cumprod[0])
        return float(self.alphas_cumprod[time])

    def add_noise(
        self, clean: Float[Tensor, "B *shape"], noise: Float[Tensor, "B *shape"], times: Int[Tensor, "B"]
    ) -> Float[Tensor, "B *shape"]:
        """The forward process, with a time for every item."""
        signal, spread = self._factors(clean, times)
        return signal * clean + spread * noise

    def velocity(
        self, clean: Float[Tensor, "B *shape"], noise: Float[Tensor, "B *shape"], times: Int[Tensor, "B"]
    ) -> Float[Tensor, "B *shape"]:
        """The target of v-prediction.

        Source:
            Salimans & Ho, "Progressive Distillation for Fast Sampling of Diffusion Models" (2022), section 4.
        """
        signal, spread = self._factors(clean, times)
        return signal * noise - spread * clean

    def _factors(self, like: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        # Whole tables go to the device, so that nobody waits for the times to come from there.
        tables = self.alphas_cumprod.sqrt(), (1 - self.alphas_cumprod).sqrt()
        signal, spread = (table.to(like)[times.to(like.device)] for table in tables)
        shape = (-1, *[1] * (like.dim() - 1))
        return signal.reshape(shape), spread.reshape(shape)


def uniform_timesteps(steps: int, start: int = 1000, *, spacing: Spacing = "trailing") -> list[int]:
    """`steps` evenly spaced times below `start`, descending.

    Args:
        steps: how many; fewer come out if `start` is smaller.
        start: number of times from which to choose: all of the schedule, or fewer to begin from a noised guess. 0
            gives no times at all.
        spacing: "trailing" begins at start - 1; "leading" ends at 1, as the published latent diffusion samplers do.

    Raises:
        ValueError: `steps` or `start` make no sense.
    """
    if steps < 1 or start < 0:
        raise ValueError(f"steps must be at least 1 and start not negative, got {steps} and {start}")
    steps = min(steps, start)
    if spacing == "leading":
        return [1 + i * (start // steps) for i in reversed(range(steps))] if steps else []
    return [round(start * (1 - i / steps)) - 1 for i in range(steps)]


def hourglass_timesteps(
    early: int = 10, middle: int = 6, late: int = 10, *, early_from: int = 800, late_below: int = 200, start: int = 1000
) -> list[int]:
    """Many times at the noisy and at the clean end and few between, descending.

    Each part is evenly spaced and ends one above its lower bound, as the published latent diffusion samplers do. The
    defaults are 981, 961, ..., 801 | 701, 601, ..., 201 | 181, 161, ..., 1: a subset of 50 even times.

    Args:
        early: how many from `early_from` up to `start`.
        middle: how many between `late_below` and `early_from`.
        late: how many below `late_below`.
        early_from: where the dense noisy part begins.
        late_below: where the dense clean part begins.
        start: number of times of the schedule.

    Raises:
        BadInput: a part has no times, or more than there are between its bounds.

    Source:
        Sobol et al., "Zero-to-Hero" (arXiv:2405.18677), the hourglass scheduler: 10, 6 and 10 times, five times as
        dense at the ends. The exact grid is this project's reading.
    """
    parts = {
        "early": (early, early_from, start),
        "middle": (middle, late_below, early_from),
        "late": (late, 0, late_below),
    }
    times: list[int] = []
    for name, (count, low, high) in parts.items():
        if not 1 <= count <= high - low:
            raise BadInput(
                f"{name} is {count}, but there are {max(high - low, 0)} times from {low} to {high}.\n"
                "Every part of the hourglass needs at least one time, and bounds 0 < late_below < early_from < start."
            )
        above = 1 if high - low >= 2 * count else 0  # where every time is visited there is no room above
        times += [low + above + i * (high - low) // count for i in reversed(range(count))]
    return times
