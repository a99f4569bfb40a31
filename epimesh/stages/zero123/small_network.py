"""The view denoiser: a diffusers UNet with its conditioner and its noise schedule, as one folder of weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Bool, Float, Int
from safetensors.torch import save_file
from torch import Tensor, nn

from epimesh import weights
from epimesh.diffusion.schedules import NoiseSchedule, Prediction
from epimesh.diffusion.stored_schedule import load_schedule
from epimesh.errors import BadWeights
from epimesh.stages.shared.latent_conditioner import LatentConditioner, ViewCondition
from epimesh.weights.loading import class_name, load_network


class ViewDenoiser(nn.Module):
    """Denoises views of an object from one photo and the relative pose.

    Args:
        unet: its input is the noisy latents joined with the conditioner's channels.
        conditioner: encodes what is asked for.

    Source:
        Liu et al., "Zero-1-to-3: Zero-shot One Image to 3D Object" (arXiv:2303.11328); the small conditioner and the
        coarse prior are this project's.
    """

    def __init__(self, unet: UNet2DConditionModel, conditioner: LatentConditioner) -> None:
        super().__init__()
        self.unet = unet
        self.conditioner = conditioner

    def forward(
        self,
        noisy: Float[Tensor, "B C h w"],
        times: Int[Tensor, "B"],
        request: ViewCondition,
        keep: Bool[Tensor, "B"] | None = None,
    ) -> Float[Tensor, "B C h w"]:
        """The prediction; without conditions for the items that `keep` drops."""
        condition = self.conditioner(request, keep)
        inputs = torch.cat([noisy, condition.channels], dim=1)
        return self.unet(
            inputs, times, encoder_hidden_states=condition.tokens, class_labels=condition.vector, return_dict=False
        )[0]

    @property
    def largest_time(self) -> int:
        """Sampling has to start below this time: noisier ones were not trained."""
        return int(self.conditioner.config.largest_time)

    @property
    def latent_channels(self) -> int:
        """Channels of the views it makes."""
        return int(self.unet.config.out_channels)

    @property
    def latent_size(self) -> int:
        """Side of the latents of the views it makes."""
        return int(self.unet.config.sample_size)

    def save(self, folder: Path, scheduler: DDIMScheduler) -> None:
        """Writes the weights in half precision, and the schedule."""
        save_parts(folder, {"unet": self.unet, "conditioner": self.conditioner}, scheduler)


def save_parts(folder: Path, parts: Mapping[str, ModelMixin], scheduler: DDIMScheduler) -> None:
    """Writes every part into a folder of its name, in half precision, and the schedule beside them."""
    for name, part in parts.items():
        half = {key: tensor.half().contiguous() for key, tensor in part.state_dict().items()}
        (folder / name).mkdir(parents=True, exist_ok=True)
        part.save_config(folder / name)
        save_file(half, folder / name / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    scheduler.save_pretrained(folder / "scheduler")


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
        from epimesh.stages.syncdreamer.unet import DepthUNet  # stages of single views do without it

        return load_network(DepthUNet, folder).unet
    return load_network(UNet2DConditionModel, folder)


def check_fit(folder: Path, unet: Any, conditioner: Any) -> None:
    """Raises BadWeights when the configs of a UNet and a conditioner belong to different models."""
    wanted = (
        conditioner.latent_channels * 2 + conditioner.prior_channels,
        conditioner.latent_channels,
        conditioner.token_width,
    )
    found = (unet.in_channels, unet.out_channels, unet.cross_attention_dim)
    if found != wanted:
        raise BadWeights(
            f"In {folder} the unet has (input, output, token) widths {found}.\n"
            f"Its conditioner expects {wanted}: the parts belong to different models. Export or download it again."
        )
