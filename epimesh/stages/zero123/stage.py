"""The published Zero-1-to-3 models as a stage: every view of the ring on its own."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.diffusion.attention_control.controller import AttentionController
from epimesh.diffusion.autoencoder import load_kl_autoencoder
from epimesh.diffusion.guidance import Branch, DecomposedGuidance, Term
from epimesh.diffusion.sampler import Ddim, Denoise
from epimesh.diffusion.stored_schedule import load_eps_schedule
from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.runtime import Runtime
from epimesh.stages.shared.attention_kernels import Implementation, choose_attention
from epimesh.stages.shared.zero_to_hero import ZeroToHero, rows, sample_views
from epimesh.stages.zero123.network import (
    GROUPS,
    TIMES,
    LastPose,
    PhotoAndPose,
    PhotoParts,
    known,
    predictions,
    published_timesteps,
    relative_pose,
)
from epimesh.views import LatentViews
from epimesh.weights.loading import PARTS, load_image_encoder, load_part, part

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

    from epimesh.stages.zero123.guide import Zero123Guide

FACTOR = 8  # pixels per latent


@dataclass(frozen=True, kw_only=True)
class Zero123(ViewGenerator):
    """Zero-1-to-3, Zero123-XL or Stable Zero123 with their published weights: views one by one, so not consistent.

    Args:
        weights: `published:zero123-xl` or `published:stable-zero123`, made by `epimesh weights get`; a folder; or a
            public copy in diffusers layout, such as `hub:kxic/zero123-xl`.
        views: how many views of the ring at elevation 30 degrees.
        steps: denoising steps; has to divide 1000.
        guidance: classifier-free guidance; 1 is none and half the work.
        eta: 0 is deterministic DDIM, 1 the published sampler.
        skip_noisiest: leave out the noisiest step, as the published sampler does (by an off-by-one).
        batch: how many views to denoise at once; lower it to save memory.
        attention: auto (torch's fused attention), sdpa (the same), or xformers (CUDA, with epimesh[xformers]).
        hero: Zero-to-Hero, of which `use` says what is on. Filtering holds .36 GB of maps per view at once in half
            precision with guidance.
        last_pose: the pose's last number: "radius", the change of the distance, or "polar", the photo's own angle from
            the vertical, which Stable Zero123 was trained with.

    Source:
        Liu et al., "Zero-1-to-3: Zero-shot One Image to 3D Object" (arXiv:2303.11328).
    """

    weights: str = "published:zero123-xl"
    views: int = 16
    steps: int = 50
    guidance: float = 3.0
    eta: float = 1.0
    skip_noisiest: bool = True
    batch: int = 4
    attention: Implementation = "auto"
    hero: ZeroToHero = ZeroToHero()
    last_pose: LastPose = "radius"
    latent_space = "sd"
    weights_parts = PARTS

    def __post_init__(self) -> None:
        if self.views < 1 or self.batch < 1:
            raise BadInput(f"views is {self.views} and batch {self.batch}; both have to be at least 1.")
        if "hourglass" in self.hero.use and self.skip_noisiest:
            raise BadInput(
                "skip_noisiest is on, but the hourglass of hero.use chooses the times, its noisiest included.\n"
                "Use --views.skip_noisiest false."
            )
        _ = self._timesteps  # refuses what cannot be

    @property
    def _timesteps(self) -> list[int]:
        if "hourglass" in self.hero.use:
            return self.hero.timesteps(self.steps, TIMES, ())
        return self.hero.timesteps(self.steps, TIMES, published_timesteps(self.steps, self.skip_noisiest))

    def _part(self, name: str) -> Path:
        return part(self.weights, name, self.weights_parts)

    @cached_property
    def _unet(self) -> "UNet2DConditionModel":
        from diffusers import UNet2DConditionModel  # takes seconds to import

        return load_part(UNet2DConditionModel, self._part("unet"))

    @property
    def directions(self) -> DecomposedGuidance:
        """The guidance that the settings describe."""
        return DecomposedGuidance((Term(Branch(frozenset(GROUPS)), self.guidance - 1),))

    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        """Latents of the ring."""
        return self.at(photo, Cameras.ring(self.views, size=self._size), runtime=runtime)

    @torch.inference_mode()
    def at(self, photo: Photo, cameras: Cameras, *, runtime: Runtime) -> LatentViews:
        """Latents of any views. No view depends on which others are asked for after it."""
        cameras = cameras.resized(self._size, self._size)
        told, own = self._told(photo, cameras, runtime)
        choose_attention(self._unet, self.attention, runtime.device)
        self._unet.to(runtime.device, runtime.dtype)
        noise = torch.randn(told.channels.shape, generator=runtime.generator("zero123 published")).to(told.channels)
        parts = []
        for first in range(0, len(cameras), self.batch):
            some = slice(first, first + self.batch)
            parts.append(self._sampled(range(len(cameras))[some], told[some].joined(own), noise[some], runtime))
        return LatentViews(torch.cat(parts).float().cpu().clone(), cameras, photo, self.latent_space)

    def guide(self, runtime: Runtime) -> "Zero123Guide":
        """The network as a guide of score distillation and inversion, for any views. Gradients need the autoencoder."""
        from epimesh.stages.zero123.guide import Zero123Guide

        choose_attention(self._unet, self.attention, runtime.device)
        self._unet.to(runtime.device, runtime.dtype)
        return Zero123Guide(
            autoencoder=load_kl_autoencoder(self._part("vae")).to(runtime.device, torch.float32),
            schedule=load_eps_schedule(self._part("scheduler")),
            prediction="eps",
            latent_size=self._size // FACTOR,
            runtime=runtime,
            unet=self._unet,
            stage=self,
        )

    def told(self, photo: Photo, cameras: Cameras, runtime: Runtime) -> PhotoAndPose:
        """What the model is told of these views, at the size of its images."""
        return self._told(photo, cameras, runtime)[0]

    @property
    def _size(self) -> int:
        """Of the images, in pixels."""
        return int(self._unet.config.sample_size) * FACTOR

    def _sampled(self, views: range, asked: PhotoAndPose, noise: Tensor, runtime: Runtime) -> Tensor:
        """Some of the views; what is asked ends with the photo's own."""
        branches = [str(number) for number in range(len(self.directions.branches))]

        def predictor(controller: AttentionController, with_photo: bool) -> Denoise:
            denoise = self._predictor(asked if with_photo else asked[: len(views)])
            return controller.with_rows(denoise, rows(views, with_photo, branches))

        sampler = Ddim(
            schedule=load_eps_schedule(self._part("scheduler")),
            timesteps=self._timesteps,
            eta=self.eta,
            resampling=self.hero.repeated,
        )
        return sample_views(
            self.hero,
            sampler,
            self._unet,
            predictor,
            noise,
            random=[runtime.generator(f"zero123 view {view}") for view in views],
            photo_random=runtime.generator("zero123 photo's view"),
            track=lambda times: runtime.reporter.track(times, "imagining views", len(times)),
        )

    def _told(self, photo: Photo, cameras: Cameras, runtime: Runtime) -> tuple[PhotoAndPose, PhotoAndPose]:
        """What the model is told of the views, and of the photo's own view."""
        return self._of_photo(photo, cameras, self._photo_parts(runtime), runtime)

    def _of_photo(
        self, photo: Photo, cameras: Cameras, parts: PhotoParts, runtime: Runtime
    ) -> tuple[PhotoAndPose, PhotoAndPose]:
        from epimesh.stages.shared.photo_token import picture_of, zero123_image

        image = zero123_image(picture_of(photo), cameras.width)[None].to(runtime.device)
        delta = torch.cat([relative_pose(photo, one, self.last_pose) for one in (cameras, photo.camera)]).to(image)
        both = known(image, delta, parts.vae, parts.encoder, parts.token).to(runtime.device, runtime.dtype)
        return both[: len(cameras)], both[len(cameras) :]

    def _photo_parts(self, runtime: Runtime) -> PhotoParts:
        """Loaded for one photo and dropped again: they are large, and needed only before the first step."""
        from epimesh.stages.shared.photo_token import PhotoToken

        return PhotoParts(
            load_kl_autoencoder(self._part("vae")).network.to(runtime.device),
            load_image_encoder(self._part("image_encoder")).to(runtime.device),
            load_part(PhotoToken, self._part("photo_token")).to(runtime.device),
        )

    def _predictor(self, told: PhotoAndPose) -> Denoise:
        guidance = self.directions

        def predict(x: Tensor, time: int) -> Tensor:
            times = torch.full((len(x),), time, device=x.device)
            return guidance.combined(predictions(self._unet, x, times, told, guidance.branches))

        return predict
