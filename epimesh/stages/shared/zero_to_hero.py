"""Zero-to-Hero as a setting of generators: which of its parts are in use, and sampling with them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from epimesh.diffusion.attention_control.controller import PHOTO, AttentionControl, AttentionController, Row
from epimesh.diffusion.attention_control.map_filter import MapFilter
from epimesh.diffusion.attention_control.mutual import MutualSelfAttention
from epimesh.diffusion.sampler import Ddim, Denoise, NoiseLike, Random, Resampling, Track, fresh_noise
from epimesh.diffusion.schedules import Window, hourglass_timesteps
from epimesh.errors import BadInput

Part = Literal["hourglass", "resampling", "filtering", "mutual"]
Predictor = Callable[[AttentionController, bool], Denoise]
"""The denoiser of some views under a controller; if the flag is set, of the photo's own view too, as the last row."""


@dataclass(frozen=True, kw_only=True)
class Hourglass:
    """More steps at the noisy and at the clean end, fewer between.

    Args:
        density: how many times as dense the ends are as the middle.
        early_from: where the dense noisy part begins.
        late_below: where the dense clean part begins.

    Raises:
        BadInput: there is no middle, or no density.

    Source:
        Sobol et al., "Zero-to-Hero" (arXiv:2405.18677): 26 steps are 10, 6 and 10.
    """

    density: float = 5.0
    early_from: int = 800
    late_below: int = 200

    def __post_init__(self) -> None:
        if self.density <= 0 or not 0 < self.late_below < self.early_from:
            raise BadInput(
                f"The hourglass has density {self.density}, late_below {self.late_below} and early_from "
                f"{self.early_from}.\nExpected a positive density, and 0 < late_below < early_from."
            )

    def timesteps(self, steps: int, start: int = 1000) -> list[int]:
        """So many times below `start`, descending.

        Raises:
            BadInput: there is no noisy part below `start`, or there are too few steps for three parts.
        """
        if start <= self.early_from:
            raise BadInput(
                f"start is {start}, but the hourglass is dense from {self.early_from} up.\n"
                "Set start to 1000 (pure noise), lower hourglass.early_from, or leave 'hourglass' out of hero.use."
            )
        early, late = self.density * (start - self.early_from), self.density * self.late_below
        between = self.early_from - self.late_below
        middle = max(1, round(steps * between / (early + between + late)))
        first = round((steps - middle) * early / (early + late))
        bounds = {"early_from": self.early_from, "late_below": self.late_below, "start": start}
        return hourglass_timesteps(first, middle, steps - middle - first, **bounds)


@dataclass(frozen=True, kw_only=True)
class ZeroToHero:
    """Better views from the same weights, by the parts of Zero-to-Hero that are in use.

    The defaults of every part are the paper's. With none in use, or with neutral settings (one pass, no pool and
    nothing but fresh maps), views are bitwise those of the plain sampler.

    Args:
        use: the parts that are on; settings of the others have no effect.
        hourglass: where the steps lie.
        resampling: takes noisy steps several times.
        filtering: filters attention maps over these passes and over times.
        mutual: early on, views read keys and values of the photo's own view, which is made beside them.

    Source:
        Sobol et al., "Zero-to-Hero: Enhancing Zero-SilhouetteView Novel View Synthesis via Attention Map Filtering"
        (arXiv:2405.18677).
    """

    use: tuple[Part, ...] = ()
    hourglass: Hourglass = Hourglass()
    resampling: Resampling = Resampling()
    filtering: MapFilter = MapFilter()
    mutual: MutualSelfAttention = MutualSelfAttention()

    @property
    def needs_photo(self) -> bool:
        """Whether the photo's own view has to be made beside the others."""
        return "mutual" in self.use

    @property
    def controls(self) -> list[AttentionControl]:
        """What steers attention."""
        mutual: list[AttentionControl] = [self.mutual] if "mutual" in self.use else []
        return [*mutual, self.filtering] if "filtering" in self.use else mutual

    @property
    def repeated(self) -> Resampling | None:
        """Which steps are taken several times; None if that is not in use."""
        return self.resampling if "resampling" in self.use else None

    def timesteps(self, steps: int, start: int, otherwise: Sequence[int]) -> list[int]:
        """The hourglass's times below `start` if it is in use, else the others.

        Raises:
            BadInput: a part is in use whose window holds none of them.
        """
        times = self.hourglass.timesteps(steps, start) if "hourglass" in self.use else list(otherwise)
        for name, window in self._windows().items():
            if not any(time in window for time in times):
                visited = f"the times visited are {times[0]} down to {times[-1]}" if times else "no time is visited"
                raise BadInput(
                    f"hero.{name} is {window.t_min} to {window.t_max}, but no step lies there: {visited}.\n"
                    "Move the window, start from more noise (start 1000), or leave the part out of hero.use, which is "
                    f"{list(self.use)}."
                )
        return times

    def _windows(self) -> dict[str, Window]:
        """Of the parts in use whose settings are not neutral."""
        repeats = "resampling" in self.use and self.resampling.passes > 1
        windows = {
            "resampling.window": (self.resampling.window, repeats),
            "filtering.pool_window": (
                self.filtering.pool_window,
                "filtering" in self.use and self.filtering.pool != "none" and repeats,
            ),
            "filtering.history_window": (
                self.filtering.history_window,
                "filtering" in self.use and self.filtering.fresh < 1,
            ),
            "mutual.window": (self.mutual.window, "mutual" in self.use),
        }
        return {name: window for name, (window, counts) in windows.items() if counts}


def rows(views: Sequence[int], with_photo: bool, branches: Sequence[str]) -> list[Row]:
    """The rows of a batch of guidance branches, each of views and, where it is made, the photo's own view."""
    made = [*views, PHOTO] if with_photo else list(views)
    return [Row(view, branch) for branch in branches for view in made]


def sample_views(
    hero: ZeroToHero,
    sampler: Ddim,
    model: nn.Module,
    predictor: Predictor,
    noise: Float[Tensor, "V C h w"],
    *,
    start: Float[Tensor, "R C h w"] | None = None,
    random: Random,
    photo_random: torch.Generator,
    track: Track,
) -> Float[Tensor, "V C h w"]:
    """The clean views.

    Args:
        hero: which parts are in use.
        sampler: visits `hero.timesteps`, some of them as often as `hero.repeated` says.
        model: whose self-attention is steered.
        predictor: makes the denoiser; the photo's row is asked for only while views read from it.
        noise: of the views, standard normal.
        start: a guess of the views, and of the photo's own if `hero.needs_photo`; None begins from pure noise.
        random: of noise added to the views later on.
        photo_random: of all noise of the photo's own view, so that it changes none of the views'.
        track: hears the progress.
    """
    from epimesh.diffusion.attention_control.processor import controlled  # diffusers takes seconds to import

    with controlled(model, hero.controls) as controller:
        if not hero.needs_photo:
            denoise = predictor(controller, False)
            return sampler(denoise, noise, start=start, generator=random, track=track, listen=controller.at)
        early, late = sampler.split(hero.mutual.window.t_min)
        beside = torch.cat([noise, fresh_noise(noise[:1], photo_random)])
        fresh = _fresh(random, photo_random, len(noise))
        x = early(predictor(controller, True), beside, start=start, generator=fresh, track=track, listen=controller.at)[
            :-1
        ]
        if not late.timesteps:
            return x
        return late(predictor(controller, False), x, generator=random, track=track, listen=controller.at)


def _fresh(views: Random, photo: torch.Generator, count: int) -> NoiseLike:
    return lambda like: torch.cat([fresh_noise(like[:count], views), fresh_noise(like[count:], photo)])
