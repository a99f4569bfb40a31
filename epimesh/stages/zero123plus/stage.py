"""Zero123++ as a stage, also with InstantMesh's network."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.diffusion.autoencoder import load_kl_autoencoder
from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.runtime import Runtime
from epimesh.stages.zero123plus.pictures import (
    COLUMNS,
    GREY,
    ROWS,
    WHITE,
    clip_pixels,
    on_constant,
    resized_foreground,
    tiles,
    unscaled_latents,
    vae_pixels,
)
from epimesh.stages.zero123plus.sampling import TIMES, Read, sampled
from epimesh.views import LatentViews
from epimesh.weights.loading import load_image_encoder, load_part, part

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

LATENT_SPACE = "zero123plus"
AZIMUTHS_DEG = (30.0, 90.0, 150.0, 210.0, 270.0, 330.0)
_ELEVATIONS_DEG = {"v1.1": (30.0, -20.0), "v1.2": (20.0, -10.0)}
_FOV_DEG = 30.0
# InstantMesh sets 4 for objects within [-1, 1]; here the longest side is 1.
_DISTANCE = 2.0


@dataclass(frozen=True, kw_only=True)
class Zero123Plus(ViewGenerator):
    """Six views at fixed elevations above the ground, whatever the photo's own; drawn as one picture.

    Args:
        weights: `published:zero123plus` or `published:instantmesh-views` (see `epimesh weights`), or a folder.
        rig: whose cameras: elevations 30 and -20 (v1.1), or 20 and -10 (v1.2 and InstantMesh).
        background: behind the photo and the views: grey, or white with InstantMesh's network.
        steps: denoising steps; InstantMesh takes 75.
        guidance: classifier-free guidance; at most 1 is none and half the work.
        fill: share of the frame that the object's longer side takes.
        tile: side of every view, in pixels.
        photo_size: side at which the photo is read, in pixels.

    Source:
        Shi et al., "Zero123++: a Single Image to Consistent Multi-view Diffusion Base Model" (arXiv:2310.15110);
        Xu et al., "InstantMesh" (arXiv:2404.07191).
    """

    weights: str = "published:zero123plus"
    rig: Literal["v1.1", "v1.2"] = "v1.2"
    background: Literal["grey", "white"] = "grey"
    steps: int = 28
    guidance: float = 4.0
    fill: float = 0.85
    tile: int = 320
    photo_size: int = 512
    latent_space = LATENT_SPACE
    weights_parts = ("unet", "vae", "text_encoder", "tokenizer", "vision_encoder", "scheduler")

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= TIMES:
            raise BadInput(f"steps is {self.steps}; expected 1 to {TIMES}, such as 28 or 75.")
        if not 0.1 <= self.fill <= 1 or self.tile % 64 or self.photo_size % 64:
            raise BadInput(
                f"fill is {self.fill}, tile {self.tile} and photo_size {self.photo_size}.\n"
                "Expected a fill of .1 to 1, and sizes that 64 divides, such as 320 and 512."
            )

    @cached_property
    def _unet(self) -> "UNet2DConditionModel":
        from diffusers import UNet2DConditionModel  # takes seconds to import

        return load_part(UNet2DConditionModel, self._part("unet"))

    def _part(self, name: str) -> Path:
        return part(self.weights, name, self.weights_parts)

    @torch.inference_mode()
    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        """Latents of the six views."""
        random = runtime.generator("zero123plus")

        def noise_like(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=random).to(like)

        read = self._read(photo, noise_like, runtime)
        unet = self._unet.to(runtime.device, runtime.dtype)
        side = self.tile // 8
        start = noise_like(torch.empty(1, 4, ROWS * side, COLUMNS * side).to(read.latents))
        made = sampled(
            unet,
            start,
            read,
            steps=self.steps,
            guidance=self.guidance,
            noise_like=noise_like,
            track=lambda times: runtime.reporter.track(times, "imagining views", len(times)),
        )
        latents = tiles(unscaled_latents(made.float().cpu())).clone()
        return LatentViews(latents, cameras(self.rig, self.tile), photo, self.latent_space)

    def _read(self, photo: Photo, noise_like: Callable[[Tensor], Tensor], runtime: Runtime) -> Read:
        """The networks that see the photo are dropped again: they are needed only before the first step."""
        from epimesh.stages.shared.photo_token import picture_of
        from epimesh.stages.zero123plus.parts import check_schedule, empty_prompt, load_text_encoder, ramp

        check_schedule(self._part("scheduler"))
        value = GREY if self.background == "grey" else WHITE
        picture = on_constant(resized_foreground(picture_of(photo), self.fill), value)
        vae = load_kl_autoencoder(self._part("vae")).network.to(runtime.device)
        photo_latents, nothing = (
            posterior_sample(vae, pixels.to(runtime.device), noise_like)
            for pixels in (vae_pixels(picture, self.photo_size), torch.zeros(1, 3, self.photo_size, self.photo_size))
        )
        encoder = load_image_encoder(self._part("vision_encoder")).to(runtime.device)
        embedding = encoder(clip_pixels(picture).to(runtime.device)).image_embeds
        text = load_text_encoder(self._part("text_encoder")).to(runtime.device)
        length = int(text.config.max_position_embeddings)
        words = text(empty_prompt(self._part("tokenizer"), length).to(runtime.device)).last_hidden_state
        told = words + ramp(self._part("unet").parent, length).to(words)[:, None] * embedding[:, None]
        latents, tokens = torch.cat([nothing, photo_latents]), torch.cat([words, told])
        rows = slice(None) if self.guidance > 1 else slice(1, None)
        return Read(latents[rows].to(runtime.dtype), tokens[rows].to(runtime.dtype))


def posterior_sample(vae: Any, pixels: Tensor, noise_like: Callable[[Tensor], Tensor]) -> Tensor:
    """A sample of the autoencoder's posterior, without any scaling: so the network was trained to read the photo."""
    posterior = vae.encode(pixels).latent_dist
    return posterior.mean + posterior.std * noise_like(posterior.mean)


def cameras(rig: str, size: int) -> Cameras:
    """The cameras of the six views, in the frame whose azimuth 0 is the photo's."""
    elevations = torch.tensor(_ELEVATIONS_DEG[rig] * ROWS)
    return Cameras.on_sphere(torch.tensor(AZIMUTHS_DEG), elevations, size=size, distance=_DISTANCE, fov_deg=_FOV_DEG)
