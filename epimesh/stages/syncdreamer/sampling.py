"""Samples all views of an object together, with the photo's own view beside them where they read from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.diffusion.attention_control.controller import AttentionController
from epimesh.diffusion.guidance import DecomposedGuidance
from epimesh.diffusion.sampler import Ddim, Denoise
from epimesh.errors import BadInput
from epimesh.runtime import Runtime
from epimesh.stages.shared.zero_to_hero import ZeroToHero, rows, sample_views
from epimesh.stages.syncdreamer.denoiser import GROUPS, Conditions, JointDenoiser

SAME_VIEW = (0.0, 0.0, 1.0, 0.0)
"""What `Rig.view_vectors` says of a view that is the photo: no turn, as sine and cosine, and none up or down."""


@dataclass(frozen=True, eq=False)
class JointSampling:
    """One object's views in one reverse process.

    Args:
        denoiser: the model.
        conditions: of the views it ties; of one object.
        photo: of the photo's own view, where `hero` needs it.
        guidance: of the denoiser.
        hero: which parts of Zero-to-Hero are in use.
        sampler: visits its times.
    """

    denoiser: JointDenoiser
    conditions: Conditions
    photo: Conditions | None
    guidance: DecomposedGuidance
    hero: ZeroToHero
    sampler: Ddim

    def __call__(
        self, runtime: Runtime, dtype: torch.dtype, start: Float[Tensor, "R C h w"] | None = None
    ) -> Float[Tensor, "N C h w"]:
        """The clean views.

        Args:
            runtime: device and random streams.
            dtype: of what is sampled.
            start: a guess of the views, and of the photo's own where it is made; None begins from pure noise.
        """
        config, generator = self.denoiser.volume.config, runtime.generator("syncdreamer")
        size, channels = int(config.latent_size), int(config.latent_channels)
        noise = torch.randn((self.denoiser.views, channels, size, size), generator=generator)
        return sample_views(
            self.hero,
            self.sampler,
            self.denoiser.unet.unet,
            self._predictor,
            noise.to(runtime.device, dtype),
            start=start,
            random=generator,
            photo_random=runtime.generator("syncdreamer photo's view"),
            track=lambda times: runtime.reporter.track(times, "imagining views", len(times)),
        )

    def _predictor(self, controller: AttentionController, with_photo: bool) -> Denoise:
        branches = [str(number) for number in range(len(self.guidance.branches))]
        named = rows(range(self.denoiser.views), with_photo, branches)
        return controller.with_rows(self._with_photo() if with_photo else self._views_alone, named)

    def _views_alone(self, x: Tensor, time: int) -> Tensor:
        given = self.conditions
        times = torch.full((1,), time, device=x.device)
        return self.denoiser(x[None].to(given.tokens.dtype), times, given, self.guidance)[0].to(x)

    def _with_photo(self) -> Denoise:
        """The photo's own view is no part of the volume and does not see it, so it depends on none of the others."""
        assert self.photo is not None
        self.guidance.check(GROUPS)
        given, views = _beside(self.conditions, self.photo), self.denoiser.views
        chosen = torch.arange(views + 1, device=given.tokens.device)[None]

        def predict(x: Tensor, time: int) -> Tensor:
            noisy, times = x[None].to(given.tokens.dtype), torch.full((1,), time, device=x.device)
            rays = _and_nothing(self.denoiser.rays(noisy[:, :views], times, self.conditions.view))
            predicted = self.denoiser.predictions(noisy, times, given, rays, chosen, self.guidance.branches)
            return self.guidance.combined(predicted).to(x)

        return predict


def same_view(like: Float[Tensor, "B N 4"]) -> Float[Tensor, "B 1 4"]:
    """The view vector of the photo's own view."""
    return torch.tensor(SAME_VIEW).to(like).expand(len(like), 1, 4)


def views_with_attention(hero: ZeroToHero, batch: int, views: int) -> int:
    """How many rows have to run at once, so that controls of attention see all of them.

    Raises:
        BadInput: they may not.
    """
    if not hero.controls:
        return batch
    if batch < views:
        raise BadInput(
            f"hero.use is {list(hero.use)}, which works on the attention of all {views} views at once, but only "
            f"{batch} may run together.\nLeave batch and --max-memory out, or 'filtering' and 'mutual' out of hero.use."
        )
    return views + 1  # the photo's own


def map_bytes(denoiser: JointDenoiser, guidance: DecomposedGuidance, hero: ZeroToHero, item_bytes: int) -> int:
    """What filtering holds at most: two maps of every layer and row.

    Args:
        denoiser: the model; it may be on the meta device.
        guidance: its branches are rows.
        hero: which parts are in use, and in which layers.
        item_bytes: of a score, unless maps are kept in half precision.
    """
    from epimesh.diffusion.attention_control.processor import self_attention

    if "filtering" not in hero.use:
        return 0
    unet, layers = denoiser.unet.unet, hero.filtering.layers
    sides = {name: _side(name, unet.config) for name in self_attention(unet)}
    heads = {name: layer.heads for name, layer in self_attention(unet).items()}
    scores = sum(heads[name] * side**4 for name, side in sides.items() if layers.have(name, side**2))
    count = len(guidance.branches) * (denoiser.views + hero.needs_photo)
    return 2 * scores * count * (2 if hero.filtering.half else item_bytes)


def _side(layer: str, config: Any) -> int:
    """Of the feature map of a layer, by its name in the UNet."""
    kind, number, *_ = layer.split(".")
    deepest = len(config.block_out_channels) - 1
    level = {"down_blocks": lambda: int(number), "up_blocks": lambda: deepest - int(number)}.get(
        kind, lambda: deepest
    )()
    return int(config.sample_size) >> level


def _beside(views: Conditions, photo: Conditions) -> Conditions:
    """What is known of the views of an object and, as one view more, of the photo's own."""
    channels = views.channels if views.channels.ndim == 4 else torch.cat([views.channels, photo.channels], dim=1)
    vector = views.vector
    if vector is not None and photo.vector is not None:
        vector = torch.cat([vector, photo.vector], dim=1)
    tokens, view = (torch.cat(pair, dim=1) for pair in ((views.tokens, photo.tokens), (views.view, photo.view)))
    return Conditions(channels, tokens, view, vector)


def _and_nothing(rays: Sequence[Tensor]) -> list[Tensor]:
    """One view more, which sees zeros, as a view does without the volume."""
    return [torch.cat([level, torch.zeros_like(level[:1])]) for level in rays]
