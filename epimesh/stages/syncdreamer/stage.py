"""SyncDreamer as a stage: 16 views of the object in one reverse process."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from epimesh import weights
from epimesh.diffusion.autoencoder import KlAutoencoder, load_kl_autoencoder
from epimesh.diffusion.guidance import DecomposedGuidance
from epimesh.diffusion.sampler import Ddim
from epimesh.diffusion.schedules import NoiseSchedule, uniform_timesteps
from epimesh.diffusion.stored_schedule import load_eps_schedule
from epimesh.errors import BadInput, BadWeights
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.pipeline.process_memory import held_bytes
from epimesh.runtime import Runtime
from epimesh.stages.shared.attention_kernels import Implementation, choose_attention
from epimesh.stages.shared.zero_to_hero import ZeroToHero
from epimesh.stages.syncdreamer.weight_streaming import Streamed, resident
from epimesh.views import LatentViews
from epimesh.weights.loading import load_image_encoder, load_part, part, weights_file

if TYPE_CHECKING:
    from epimesh.stages.shared.photo_token import PhotoToken
    from epimesh.stages.syncdreamer.denoiser import Conditions, JointDenoiser

TIMES = 1000


@dataclass(frozen=True, kw_only=True)
class SyncDreamer(ViewGenerator):
    """All views of the ring are denoised together, tied by a volume that every step builds from all of them.

    Args:
        weights: folder, or `published:syncdreamer` for what `epimesh convert syncdreamer` made.
        steps: denoising steps; has to divide 1000.
        guidance: how far to go from the prediction without any condition; 1 is none and half the work.
        photo_guidance: how far to go from the prediction without the photo (HarmonyView: 2, with guidance 1).
        volume_guidance: how far to go from the prediction without the other views (HarmonyView: 1, with guidance 1).
        channels_gain: factor on the photo's latents in the prediction without the other views. HarmonyView's public
            code has 4, which its paper does not mention.
        eta: 0 is deterministic DDIM, 1 the published sampler.
        crop: longer side of the object in the photo, in pixels of 256; -1 keeps the photo's margins.
        batch: how many views run at once through the layers of the finest resolution; coarser ones take more. Null is
            as many as `--max-memory` allows, and all without it. Fewer need less memory; the result is the same.
        attention: auto (torch's fused attention), sdpa (the same), or xformers (CUDA, with epimesh[xformers]).
        compile: let torch compile the networks: minutes before the first step, shorter steps. For GPUs, where weights
            stay in memory.
        hero: Zero-to-Hero, of which `use` says what is on. The photo's own view sees no volume. Filtering and reading
            from the photo need all views at once; filtering holds 6 GB of maps in half precision, a sixteenth of
            them with filtering.layers.max_tokens 256.

    Source:
        Liu et al., "SyncDreamer" (arXiv:2309.03453). Guidance in two directions: Woo et al., "HarmonyView"
        (arXiv:2312.15980).
    """

    weights: str = "published:syncdreamer"
    steps: int = 50
    guidance: float = 2.0
    photo_guidance: float = 0.0
    volume_guidance: float = 0.0
    channels_gain: float = 1.0
    eta: float = 1.0
    crop: int = 200
    batch: int | None = None
    attention: Implementation = "auto"
    compile: bool = False
    hero: ZeroToHero = ZeroToHero()
    latent_space = "sd"

    def __post_init__(self) -> None:
        even = "hourglass" not in self.hero.use
        if self.steps < 1 or (even and TIMES % self.steps != 0) or (self.batch is not None and self.batch < 1):
            raise BadInput(
                f"steps is {self.steps} and batch {self.batch}.\n"
                f"Expected steps that divide {TIMES}, such as 20, 25, 50 or 100, and a batch of at least 1."
            )
        if self.compile and self.hero.controls:
            raise BadInput(
                f"compile is on, but hero.use is {list(self.hero.use)}, which changes attention from step to step.\n"
                "Use --views.compile false, or leave 'filtering' and 'mutual' out of hero.use."
            )
        _ = self._timesteps  # refuses parts of Zero-to-Hero that would never be at work

    @property
    def _timesteps(self) -> list[int]:
        return self.hero.timesteps(self.steps, TIMES, uniform_timesteps(self.steps, spacing="leading"))

    @cached_property
    def _denoiser(self) -> "JointDenoiser":
        """On the meta device until it is known where it will run."""
        from epimesh.stages.syncdreamer.denoiser import JointDenoiser  # diffusers takes seconds to import
        from epimesh.stages.syncdreamer.unet import DepthUNet
        from epimesh.stages.syncdreamer.volume import SpatialVolume

        unet = load_part(DepthUNet, part(self.weights, "unet"), on_meta=True)
        return JointDenoiser(unet, load_part(SpatialVolume, part(self.weights, "volume"))).eval()

    @cached_property
    def _schedule(self) -> NoiseSchedule:
        return load_eps_schedule(part(self.weights, "scheduler"))

    def _photo_parts(self) -> tuple[Any, KlAutoencoder, "PhotoToken"]:
        """Loaded for one photo and dropped again: they are large, and needed only before the first step."""
        from epimesh.stages.shared.photo_token import PhotoToken

        parts = (
            load_image_encoder(part(self.weights, "image_encoder")),
            load_kl_autoencoder(part(self.weights, "vae")),
            load_part(PhotoToken, part(self.weights, "photo_token")),
        )
        _check_fit(weights.resolve(self.weights), self._denoiser, *parts)
        return parts

    @property
    def directions(self) -> DecomposedGuidance:
        """The guidance that the settings describe."""
        from epimesh.stages.syncdreamer.denoiser import decomposed

        return decomposed(self.guidance - 1, self.photo_guidance, self.volume_guidance, self.channels_gain)

    @torch.inference_mode()
    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        """Latents of all views of the ring."""
        from epimesh.stages.syncdreamer.sampling import JointSampling, views_with_attention

        denoiser = self._ready(runtime)
        conditions, own = self._conditions(photo, runtime)
        batch = self.batch or self._fitting(runtime)
        denoiser.unet.batch = views_with_attention(self.hero, batch, denoiser.views)
        sampler = Ddim(
            schedule=self._schedule,
            timesteps=self._timesteps,
            eta=self.eta,
            noise_at_end=False,
            resampling=self.hero.repeated,
        )
        sampling = JointSampling(denoiser, conditions, own, self.directions, self.hero, sampler)
        latents = sampling(runtime, torch.float32)  # what is sampled stays in single precision
        return LatentViews(latents.cpu().clone(), denoiser.volume.rig.cameras, photo, self.latent_space)

    def _ready(self, runtime: Runtime) -> "JointDenoiser":
        """The denoiser where it runs: in a GPU's memory, or on a CPU with the UNet's weights read layer by layer."""
        from epimesh.stages.syncdreamer.unet import DepthUNet

        denoiser = self._denoiser
        unet = denoiser.unet
        choose_attention(unet.unet, self.attention, runtime.device)
        denoiser.volume.to(runtime.device, runtime.dtype)
        folder = part(self.weights, "unet")
        if runtime.device == "cpu":
            if self.compile:
                raise BadInput(
                    "compile is on, but on a CPU the weights are read layer by layer and cannot be compiled.\n"
                    "Use --views.compile false, or --device cuda."
                )
            unet.keep = Streamed(unet, weights_file(folder), runtime.dtype)
        elif next(unet.parameters()).is_meta:
            whole = load_part(DepthUNet, folder)
            unet.load_state_dict(whole.state_dict(), assign=True)
            unet.to(runtime.device, runtime.dtype)
            unet.keep = resident
            if self.compile:
                for network in (unet, denoiser.volume.volume, denoiser.volume.frustum):
                    network.compile()
        return denoiser

    def _fitting(self, runtime: Runtime) -> int:
        """How many views at once the memory allows that is left after the photo was encoded."""
        from epimesh.stages.syncdreamer.memory_budget import views_at_once
        from epimesh.stages.syncdreamer.sampling import map_bytes

        branches = len(self.directions.branches)
        maps = map_bytes(self._denoiser, self.directions, self.hero, runtime.dtype.itemsize)
        held = held_bytes(runtime.device) + maps
        return views_at_once(self._denoiser, branches, runtime.max_memory_bytes, held, runtime.dtype.itemsize)

    def _conditions(self, photo: Photo, runtime: Runtime) -> "tuple[Conditions, Conditions]":
        """What is known of the views, and of the photo's own view."""
        from epimesh.stages.shared.photo_token import clip_pixels, picture_of, syncdreamer_image
        from epimesh.stages.syncdreamer.denoiser import Conditions
        from epimesh.stages.syncdreamer.sampling import same_view

        encoder, autoencoder, token = self._photo_parts()
        rig = self._denoiser.volume.rig
        crop = self.crop if self.crop == -1 else self.crop * rig.image_size // 256
        image = syncdreamer_image(picture_of(photo), rig.image_size, crop)[None].to(runtime.device)
        posterior = autoencoder.network.to(runtime.device).encode(image).latent_dist
        # A sample of the posterior and not its mode, and not scaled: so the published weights were trained.
        noise = torch.randn(posterior.mean.shape, generator=runtime.generator("syncdreamer photo"))
        latents = posterior.mean + posterior.std * noise.to(image)
        embedding = encoder.to(runtime.device)(clip_pixels(image)).image_embeds
        view = rig.view_vectors(torch.deg2rad(torch.tensor([photo.elevation_deg]))).to(image)
        token, dtype = token.to(runtime.device), runtime.dtype

        def known(view: Tensor) -> Conditions:
            tokens = token(embedding.expand(view.shape[1], -1), view[0])[None]
            return Conditions(latents.to(dtype), tokens.to(dtype), view.to(dtype))

        return known(view), known(same_view(view))


def _check_fit(folder: Path, denoiser: "JointDenoiser", encoder: Any, autoencoder: KlAutoencoder, token: Any) -> None:
    unet, config = denoiser.unet.unet.config, denoiser.volume.config
    found = {
        "latent channels of unet and vae": (unet.out_channels, autoencoder.latent_channels),
        "input channels of unet, twice the latents": (unet.in_channels, 2 * config.latent_channels),
        "token width of unet and photo_token": (unet.cross_attention_dim, token.config.clip_width),
        "embedding width of image_encoder and photo_token": (encoder.config.projection_dim, token.config.clip_width),
        "image size and 8 x the latent size": (config.image_size, 8 * config.latent_size),
    }
    wrong = [f"{name}: {pair[0]} and {pair[1]}" for name, pair in found.items() if pair[0] != pair[1]]
    if wrong:
        raise BadWeights(f"The parts of {folder} do not fit each other: {'; '.join(wrong)}.\nConvert them again.")
