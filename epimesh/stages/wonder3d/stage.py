"""Wonder3D as a stage."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from epimesh.diffusion.autoencoder import KlAutoencoder, load_kl_autoencoder
from epimesh.diffusion.sampler import Ddim, Denoise
from epimesh.diffusion.schedules import uniform_timesteps
from epimesh.diffusion.stored_schedule import load_eps_schedule
from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.runtime import Runtime
from epimesh.stages.wonder3d import rig
from epimesh.views import LatentViews
from epimesh.weights.loading import load_image_encoder, part

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

FACTOR = 8  # pixels per latent
TIMES = 1000


class Told(NamedTuple):
    """What is known of every row.

    Args:
        latents: of the photo, scaled.
        token: the photo's embedding.
        labels: of the camera and the domain.
    """

    latents: Float[Tensor, "R C h w"]
    token: Float[Tensor, "R 1 D"]
    labels: Float[Tensor, "R 10"]


@dataclass(frozen=True, kw_only=True)
class Wonder3D(ViewGenerator):
    """Six orthographic views in colour and in normals, denoised together. The photo is the front one.

    Args:
        weights: `published:wonder3d` (see `epimesh weights`), a folder, or `hub:flamehaze1115/wonder3d-v1.0`.
        steps: denoising steps; has to divide 1000.
        guidance: classifier-free guidance; exactly 1 is none and half the work. Published runs use 1 and 3.
        eta: 0 is deterministic DDIM, 1 the published sampler.
        crop: longer side of the object in the photo, in pixels of 256; -1 keeps the photo's margins.

    Source:
        Long et al., "Wonder3D: Single Image to 3D using Cross-Domain Diffusion" (arXiv:2310.15008).
    """

    weights: str = "published:wonder3d"
    steps: int = 50
    guidance: float = 3.0
    eta: float = 1.0
    crop: int = 192
    latent_space = "sd"
    weights_parts = ("unet", "vae", "image_encoder", "scheduler")

    def __post_init__(self) -> None:
        if self.steps < 1 or TIMES % self.steps != 0:
            raise BadInput(f"steps is {self.steps}.\nExpected steps that divide {TIMES}, such as 20, 25, 50 or 100.")

    def _part(self, name: str) -> Path:
        return part(self.weights, name, self.weights_parts)

    @cached_property
    def _unet(self) -> "UNet2DConditionModel":
        from epimesh.stages.wonder3d.network import load_unet  # diffusers takes seconds to import

        return load_unet(self._part("unet"))

    @torch.inference_mode()
    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        """Latents of the six views, in colour and in normals."""
        size = int(self._unet.config.sample_size) * FACTOR
        known = self._told(photo, size, runtime)
        self._unet.to(runtime.device, runtime.dtype)
        random = runtime.generator("wonder3d")
        noise = torch.randn(known.latents.shape, generator=random).to(known.latents)
        sampler = Ddim(
            schedule=load_eps_schedule(self._part("scheduler")),
            timesteps=uniform_timesteps(self.steps, spacing="leading"),
            eta=self.eta,
        )
        made = sampler(
            denoiser(self._unet, known, self.guidance),
            noise,
            generator=random,
            track=lambda times: runtime.reporter.track(times, "imagining views and normals", len(times)),
        )
        normals, colours = made.float().cpu().clone().chunk(2)
        share = _share(photo) if self.crop == -1 else self.crop / 256
        return LatentViews(colours, rig.cameras(photo, size, share), photo, self.latent_space, normals=normals)

    def _told(self, photo: Photo, size: int, runtime: Runtime) -> Told:
        """The networks that see the photo are dropped again: they are needed only before the first step."""
        from epimesh.stages.shared.photo_token import framed_on_white, picture_of

        crop = self.crop if self.crop == -1 else self.crop * size // 256
        pixels = eight_bit(framed_on_white(picture_of(photo), size, crop))
        vae = load_kl_autoencoder(self._part("vae"))
        encoder = load_image_encoder(self._part("image_encoder"))
        for network in (vae.network, encoder):
            network.to(runtime.device)
        latents, token = seen(pixels, vae, encoder)
        return Told(
            latents.expand(2 * rig.VIEWS, -1, -1, -1).to(runtime.dtype),
            token.expand(2 * rig.VIEWS, -1, -1).to(runtime.dtype),
            rig.labels(rig.told()).to(runtime.device, runtime.dtype),
        )


def eight_bit(image: Float[Tensor, "3 S S"]) -> np.ndarray:
    """An image in [0, 1] as the published code rounds it, which is down; (S, S, 3)."""
    return (image.permute(1, 2, 0) * 255).to(torch.uint8).numpy()


def seen(
    pixels: np.ndarray, vae: KlAutoencoder, encoder: Any
) -> tuple[Float[Tensor, "1 C h w"], Float[Tensor, "1 1 D"]]:
    """Latents of the photo, scaled, and its token: CLIP's embedding, not normalised.

    Args:
        pixels: of the photo on white, 8 bits.
        vae: Stable Diffusion's autoencoder.
        encoder: transformers' CLIPVisionModelWithProjection.
    """
    device = next(encoder.parameters()).device
    rgb = torch.from_numpy(pixels).permute(2, 0, 1)[None].float().to(device) / 255
    image = torch.cat([rgb, torch.ones_like(rgb[:, :1])], dim=1)
    embedding = encoder(clip_pixels(pixels).to(device)).image_embeds
    return vae.encode(image), embedding[:, None]


def clip_pixels(pixels: np.ndarray) -> Float[Tensor, "1 3 224 224"]:
    """As CLIP's own processor makes them: bicubic with antialiasing, from 8 bits to 8 bits, normalised."""
    from epimesh.stages.shared.photo_token import CLIP_MEAN, CLIP_SIZE, CLIP_STD

    small = Image.fromarray(pixels).resize((CLIP_SIZE, CLIP_SIZE), Image.Resampling.BICUBIC)
    image = torch.from_numpy(np.asarray(small, dtype=np.float32) / 255).permute(2, 0, 1)
    mean, std = (torch.tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
    return ((image - mean) / std)[None]


def denoiser(unet: "UNet2DConditionModel", known: Told, guidance: float) -> Denoise:
    """Predicts the noise of all rows together."""

    def predict(x: Tensor, time: int) -> Tensor:
        if guidance == 1:
            return _predicted(unet, x, time, known)
        blind = Told(torch.zeros_like(known.latents), torch.zeros_like(known.token), known.labels)
        both = Told(*(_by_domain(without, given) for without, given in zip(blind, known, strict=True)))
        without, given = _by_branch(_predicted(unet, _by_domain(x, x), time, both))
        return without + guidance * (given - without)

    return predict


def _predicted(unet: "UNet2DConditionModel", x: Tensor, time: int, told: Told) -> Tensor:
    return unet(torch.cat([x, told.latents], dim=1), time, told.token, class_labels=told.labels, return_dict=False)[0]


def _by_domain(without: Tensor, given: Tensor) -> Tensor:
    """Rows of both branches with the domains as halves, so that no domain reads the other of another branch."""
    (normals, colours), (given_normals, given_colours) = without.chunk(2), given.chunk(2)
    return torch.cat([normals, given_normals, colours, given_colours])


def _by_branch(rows: Tensor) -> tuple[Tensor, Tensor]:
    normals, given_normals, colours, given_colours = rows.chunk(4)
    return torch.cat([normals, colours]), torch.cat([given_normals, given_colours])


def _share(photo: Photo) -> float:
    """Of the frame that the object's longer side takes."""
    solid = (photo.rgba[3] > 0.5).nonzero()
    return float((solid.amax(dim=0) - solid.amin(dim=0) + 1).max()) / photo.size
