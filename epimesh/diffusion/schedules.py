"""How noise grows with time, and which times a sampler visits."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

Prediction = Literal["eps", "v", "x0"]
Spacing = Literal["trailing", "leading"]


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """The forward process: x_t = sqrt(kept) x_0 + sqrt(1 - kept) noise, at times 0 (nearly clean) to T - 1.

    Args:
        kept: share of the clean signal's variance that is left at every time ("alpha bar"), in float64.
        ends_clean: whether the last step of a sampler lands on the clean signal (kept = 1) or on time 0.
    """

    kept: Float[Tensor, "T"]
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
        return len(self.kept)

    def kept_at(self, time: int | None) -> float:
        """The share kept at `time`; None stands for the end of sampling."""
        if time is None:
            return 1.0 if self.ends_clean else float(self.kept[0])
        return float(self.kept[time])

    def noised(
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
        kept = self.kept[times.cpu()].reshape(-1, *[1] * (like.dim() - 1))
        return kept.sqrt().to(like), (1 - kept).sqrt().to(like)


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
