"""The full-size SyncDreamer and Stable Diffusion's autoencoder with random weights, made where they run."""

from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from epimesh.stages.shared.attention_kernels import choose_attention
from epimesh.stages.syncdreamer.denoiser import Conditions, JointDenoiser, classifier_free
from epimesh.stages.syncdreamer.unet import DepthUNet, zero123_unet_config
from epimesh.stages.syncdreamer.volume import SpatialVolume

GUIDANCE = classifier_free(2.0)
TINY_VOLUME = {
    "views": 4,
    "image_size": 64,
    "latent_size": 8,
    "side": 8,
    "depths": 12,
    "encoder_width": 8,
    "volume_channels": (8, 16, 16),
    "frustum_channels": (8, 16, 16),
    "time_width": 16,
}


class Model(NamedTuple):
    """What is measured, and what it is told."""

    denoiser: JointDenoiser
    autoencoder: AutoencoderKL
    conditions: Conditions
    dtype: torch.dtype

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.conditions.tokens.device

    def step(self, noisy: Tensor, times: Tensor) -> Tensor:
        """One step of all views in both branches; latents in single precision in and out."""
        return self.denoiser(noisy.to(self.dtype), times, self.conditions, GUIDANCE).to(noisy)

    def first_noise(self) -> Tensor:
        """The noise of all views that sampling begins with."""
        config = self.denoiser.volume.config
        shape = (1, config.views, config.latent_channels, config.latent_size, config.latent_size)
        return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(self.device)

    def decoded(self, latents: Tensor) -> Tensor:
        """Images of all views, on the CPU."""
        scaled = latents[0].to(self.dtype) / self.autoencoder.config.scaling_factor
        return self.autoencoder.decode(scaled, return_dict=False)[0].float().cpu()


def random_model(device: str, dtype: torch.dtype, *, tiny: bool) -> Model:
    """Random weights, none of them zero, so that no layer is without work."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = TINY_VOLUME if tiny else {}
    widths, tokens = ((32, 64, 64), 16) if tiny else ((320, 640, 1280, 1280), 768)
    decoder_widths = (32, 32) if tiny else (128, 256, 512, 512)
    with torch.device(device):
        volume = SpatialVolume(**sizes)
        config = volume.config
        unet = DepthUNet(zero123_unet_config(widths, tokens, config.latent_size), config.frustum_channels)
        for layer in [unet.depth_middle, *(layer for level in unet.depth_up for layer in level)]:
            torch.nn.init.normal_(layer.conv2.weight, std=0.02)
        vae = AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * len(decoder_widths),
            up_block_types=["UpDecoderBlock2D"] * len(decoder_widths),
            block_out_channels=decoder_widths,
            layers_per_block=2,
            sample_size=config.image_size,
        )
        channels = torch.randn(1, 4, config.latent_size, config.latent_size)
        known = torch.randn(1, config.views, 1, tokens)
    view = volume.rig.view_vectors(torch.zeros(1)).to(device)
    conditions = Conditions(*(part.to(dtype) for part in (channels, known, view)))
    denoiser = JointDenoiser(unet, volume).to(dtype).eval().requires_grad_(False)
    choose_attention(unet.unet, "auto", device)
    return Model(denoiser, vae.to(dtype).eval().requires_grad_(False), conditions, dtype)
