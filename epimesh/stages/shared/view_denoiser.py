"""The view denoiser, which the small generators share: a diffusers UNet with its conditioner."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Bool, Float, Int
from safetensors.torch import save_file
from torch import Tensor, nn

from epimesh.errors import BadWeights
from epimesh.stages.shared.latent_conditioner import LatentConditioner, ViewCondition


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
