"""The small Zero-1-to-3: a view denoiser and its noise schedule, as one folder of weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel

from epimesh import weights
from epimesh.diffusion.schedules import NoiseSchedule, Prediction
from epimesh.diffusion.stored_schedule import load_schedule
from epimesh.stages.shared.latent_conditioner import LatentConditioner
from epimesh.stages.shared.view_denoiser import ViewDenoiser, check_fit
from epimesh.stages.syncdreamer.unet import DepthUNet
from epimesh.weights.loading import class_name, load_network


def small_view_denoiser(
    channels: Sequence[int] = (64, 128, 160),
    latent_channels: int = 12,
    prior_channels: int = 12,
    largest_time: int = 1000,
) -> ViewDenoiser:
    """A new network for 16 x 16 latents. The channels of the prior start at zero, so at first it changes nothing."""
    conditioner = LatentConditioner(latent_channels, prior_channels, largest_time=largest_time)
    attended = len(channels) - 1
    unet = UNet2DConditionModel(
        sample_size=16,
        in_channels=2 * latent_channels + prior_channels,
        out_channels=latent_channels,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * attended),
        up_block_types=(*["CrossAttnUpBlock2D"] * attended, "UpBlock2D"),
        block_out_channels=tuple(channels),
        layers_per_block=1,
        norm_num_groups=16,
        cross_attention_dim=conditioner.config.token_width,
        attention_head_dim=4,  # diffusers means the number of heads
        resnet_time_scale_shift="scale_shift",
        class_embed_type="projection",
        projection_class_embeddings_input_dim=conditioner.config.vector_width,
    )
    with torch.no_grad():
        unet.conv_in.weight[:, 2 * latent_channels :] = 0
    return ViewDenoiser(unet, conditioner)


def small_scheduler() -> DDIMScheduler:
    """The schedule of latent diffusion with v-prediction, which small networks learn best at high noise."""
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction"
    )


@dataclass(frozen=True, eq=False)
class LoadedDenoiser:
    """A view denoiser with the facts that sampling needs."""

    network: ViewDenoiser
    schedule: NoiseSchedule
    prediction: Prediction


def load_view_denoiser(source: str, conditioner: type[LatentConditioner] = LatentConditioner) -> LoadedDenoiser:
    """The view denoiser in a weights folder; that of a joint denoiser serves too, for it contains one.

    Args:
        source: the folder, or `bundled:NAME`.
        conditioner: of which class it has to be.

    Raises:
        WeightsNotFound: there is no such folder.
        BadWeights: a part is missing, damaged, or made for another model.
    """
    folder = weights.resolve(source)
    unet = _view_unet(folder / "unet")
    told = load_network(conditioner, folder / "conditioner")
    check_fit(folder, unet.config, told.config)
    network = ViewDenoiser(unet, told).eval().requires_grad_(False)
    return LoadedDenoiser(network, *load_schedule(folder / "scheduler"))


def _view_unet(folder: Path) -> UNet2DConditionModel:
    if class_name(folder) == "DepthUNet":
        return load_network(DepthUNet, folder).unet
    return load_network(UNet2DConditionModel, folder)
