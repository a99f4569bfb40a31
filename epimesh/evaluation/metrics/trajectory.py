"""How steadily guidance pulls: cosines between what is predicted at successive times of a sampling run.

Source: Jambon, ETH Zurich (2023), section 3: the guidance term is jagged even where both predictions are smooth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.diffusion.inversion import moved
from epimesh.diffusion.sampler import Denoise
from epimesh.diffusion.schedules import NoiseSchedule


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One sampling run, T times.

    Args:
        times: descending.
        unconditional: cosine of each unconditional noise prediction with the one before.
        conditional: the same of the conditional ones.
        guidance: the same of their difference.
        clean: what was sampled.
    """

    times: tuple[int, ...]
    unconditional: Float[Tensor, "T1"]
    conditional: Float[Tensor, "T1"]
    guidance: Float[Tensor, "T1"]
    clean: Float[Tensor, "V C h w"]


@torch.no_grad()
def trajectory(
    conditional: Denoise,
    unconditional: Denoise,
    noise: Float[Tensor, "V C h w"],
    times: Sequence[int],
    schedule: NoiseSchedule,
    guidance: float,
) -> Trajectory:
    """Samples, and listens.

    Args:
        conditional: predicts noise.
        unconditional: predicts noise.
        noise: to begin with.
        times: to visit, descending; at least two.
        schedule: noise of every time.
        guidance: of the sampling.
    """
    x, heard, following = noise, [], [*times[1:], None]
    for time, after in zip(times, following, strict=True):
        without, told = unconditional(x, time), conditional(x, time)
        heard.append(torch.stack([without, told, told - without]).flatten(1))
        x = moved(
            x, without + guidance * (told - without), schedule.alpha_cumprod_at(time), schedule.alpha_cumprod_at(after)
        )
    along = torch.stack(heard)
    cosines = torch.nn.functional.cosine_similarity(along[1:], along[:-1], dim=-1, eps=1e-12)
    without, told, pull = cosines.unbind(-1)
    return Trajectory(tuple(times), without, told, pull, x)
