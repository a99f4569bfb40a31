"""The settings that are compared: plain sampling, the parts of Zero-to-Hero one after the other, and oracle maps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from hero_cases import Case

from epimesh.diffusion.attention_control.controller import AttentionControl
from epimesh.diffusion.attention_control.recorded_maps import OracleMaps, true_maps
from epimesh.diffusion.autoencoder import load_autoencoder
from epimesh.diffusion.sampler import Resampling
from epimesh.diffusion.schedules import NoiseSchedule, Window
from epimesh.runtime import Runtime
from epimesh.stages import SmallZero123
from epimesh.stages.shared.zero_to_hero import Part, ZeroToHero, rows
from epimesh.stages.zero123.small_network import load_view_denoiser

ORACLE = "oracle maps"
PLAIN, FILTERED, BOTH = "plain 66", "+ filtering (min)", "all: filtering + mutual"
PICTURED = (PLAIN, FILTERED, BOTH)
COMPARED = (
    ("hourglass", PLAIN),
    ("+ resampling", "hourglass"),
    (FILTERED, "+ resampling"),
    ("+ mutual, no filtering", "+ resampling"),
    (BOTH, FILTERED),
    (BOTH, PLAIN),
    ("late mutual", "hourglass"),
    (ORACLE, "plain 50"),
)
"""Which method is held against which: what one part changes, and everything against as many plain evaluations."""


def ladder(base: SmallZero123, share: float) -> dict[str, SmallZero123]:
    """The rows of the paper's tables, with this share of the steps."""

    def some(steps: int) -> int:
        return max(5, round(share * steps))

    def hero(*use: Part, **settings: Any) -> SmallZero123:
        return replace(base, steps=some(26), hero=replace(base.hero, use=use, **settings))

    def filtering(pool: str) -> dict[str, Any]:
        return {"filtering": replace(base.hero.filtering, pool=pool)}

    late = replace(base.hero.mutual, window=Window(0, 400))
    return {
        **{f"plain {steps}": replace(base, steps=some(steps)) for steps in (25, 50, 66, 100)},
        "hourglass": hero("hourglass"),
        "+ resampling": hero("hourglass", "resampling"),
        FILTERED: hero("hourglass", "resampling", "filtering"),
        "+ filtering (mean)": hero("hourglass", "resampling", "filtering", **filtering("mean")),
        "+ filtering (ema)": hero("hourglass", "resampling", "filtering", **filtering("ema")),
        "+ mutual, no filtering": hero("hourglass", "resampling", "mutual"),
        BOTH: hero("hourglass", "resampling", "filtering", "mutual"),
        "late mutual": hero("hourglass", "mutual", mutual=late),
        ORACLE: replace(base, steps=some(50)),
        "from the coarse guess, 4 steps": replace(base, steps=4, start=300),
    }


def diversity(base: SmallZero123, share: float) -> dict[str, SmallZero123]:
    """More passes, and longer memory: both are said to cost diversity."""
    whole = ladder(base, share)[FILTERED]
    passes = {
        f"R = {count}": replace(whole, hero=replace(whole.hero, resampling=Resampling(passes=count)))
        for count in (1, 2, 5, 10, 20)
    }
    filters = {
        f"filtering from {time}": replace(
            whole, hero=replace(whole.hero, filtering=replace(whole.hero.filtering, history_window=Window(time)))
        )
        for time in (900, 800, 700, 600, 500, 400)
    }
    return {**passes, **filters}


@dataclass(frozen=True, kw_only=True)
class WithTrueMaps(ZeroToHero):
    """Attention maps of the true views in place of the model's own; an upper bound, for they know the other side."""

    maps: OracleMaps

    @property
    def controls(self) -> list[AttentionControl]:
        return [self.maps]


@torch.inference_mode()
def with_true_maps(stage: SmallZero123, case: Case, views: Sequence[int], runtime: Runtime) -> SmallZero123:
    """The stage under the maps of one pass over these true views with hardly any noise."""
    loaded = load_view_denoiser(stage.weights)
    network = loaded.network.to(runtime.device, runtime.dtype)
    truth, request = case.truth[list(views)], stage.request(case.photo, network, runtime)[list(views)]
    autoencoder = load_autoencoder(stage.autoencoder).to(runtime.device, torch.float32)
    images = torch.cat([truth.rgb, truth.alpha], dim=1).to(runtime.device)
    latents = autoencoder.encode(images).to(request.photo)

    def predict(x: torch.Tensor, time: int) -> torch.Tensor:
        return network(x, torch.full((len(x),), time, device=x.device), request)

    named = rows(views, False, ["conditional"])
    noise = torch.randn(latents.shape, generator=runtime.generator("oracle maps")).to(latents)
    maps = true_maps(network.unet, [(predict, named)], latents, loaded.schedule, noise=noise)
    return replace(stage, hero=WithTrueMaps(maps=OracleMaps(maps=maps)))


def evaluations(stage: SmallZero123) -> int:
    """How often a view is denoised."""
    return stage.sampler(NoiseSchedule.scaled_linear(), "v").evaluations
