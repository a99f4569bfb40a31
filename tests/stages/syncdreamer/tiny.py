"""A joint generator small enough for every test, with nothing at zero."""

import torch

from epimesh.stages.syncdreamer.denoiser import Conditions, JointDenoiser
from epimesh.stages.syncdreamer.unet import DepthUNet, zero123_unet_config
from epimesh.stages.syncdreamer.volume import SpatialVolume

VIEWS, SIZE, WIDTHS = 4, 8, (32, 64, 64)


def tiny_denoiser(channels: int = 4) -> JointDenoiser:
    """4 views of 8 x 8 latents, an 8^3 volume, 12 depths, three levels."""
    torch.manual_seed(0)
    config = {**zero123_unet_config(WIDTHS, 16, SIZE), "layers_per_block": 1}
    config |= {"in_channels": 2 * channels, "out_channels": channels}
    unet = DepthUNet(config, frustum_channels=(8, 16, 16))
    volume = SpatialVolume(
        views=VIEWS,
        image_size=64,
        latent_size=SIZE,
        latent_channels=channels,
        side=8,
        depths=12,
        encoder_width=8,
        volume_channels=(8, 16, 16),
        frustum_channels=(8, 16, 16),
        time_width=16,
    )
    denoiser = JointDenoiser(unet, volume).eval().requires_grad_(False)
    for name, parameter in denoiser.named_parameters():
        if not parameter.any() or "norm" in name:
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return denoiser


def random_conditions(denoiser: JointDenoiser, objects: int = 1) -> Conditions:
    channels = int(denoiser.volume.config.latent_channels)
    view = denoiser.volume.rig.view_vectors(torch.linspace(0.1, 0.5, objects))
    return Conditions(torch.randn(objects, channels, SIZE, SIZE), torch.randn(objects, VIEWS, 1, 16), view)
