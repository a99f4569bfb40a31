"""What the refiner of a small cascade is told besides the photo: views that another generator made of it before."""

import torch
from diffusers.configuration_utils import register_to_config
from jaxtyping import Bool, Float
from torch import Tensor, nn

from epimesh.stages.shared.latent_conditioner import POSE, LatentConditioner, Prompts, UNetCondition, ViewCondition
from epimesh.stages.shared.view_denoiser import ViewDenoiser


class PromptedConditioner(LatentConditioner):
    """Encodes prompts as it encodes the photo; their tokens join the photo's, in no order, each set with its pose.

    Args:
        latent_channels: of the autoencoder.
        prior_channels: channels for the coarse guess; 0 for models that take none.
        token_width: D of the tokens.
        vector_width: K of the vector.
        width: of the convolutions.
        largest_time: the noisiest time that was trained, plus one; sampling has to start below it.
        prompts: how many it was trained with.

    Source:
        Chen et al., "Cascade-Zero123" (arXiv:2312.04424), with small latents in CLIP's place.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 12,
        prior_channels: int = 12,
        token_width: int = 128,
        vector_width: int = 192,
        width: int = 96,
        largest_time: int = 1000,
        prompts: int = 4,
    ) -> None:
        super().__init__(latent_channels, prior_channels, token_width, vector_width, width, largest_time)
        self.prompt_pose = nn.Sequential(nn.Linear(POSE, token_width), nn.SiLU(), nn.Linear(token_width, token_width))

    def forward(self, request: ViewCondition, keep: Bool[Tensor, "B"] | None = None) -> UNetCondition:
        """The conditions, and the prompts' tokens; without prompts, those of the photo alone."""
        condition = super().forward(request, keep)
        if request.prompts is None:
            return condition
        tokens = self._tokens(request.prompts)
        if keep is not None:
            tokens = tokens * keep.to(tokens)[:, None, None]
        return condition._replace(tokens=torch.cat([condition.tokens, tokens], dim=1))

    def _tokens(self, prompts: Prompts) -> Float[Tensor, "B N D"]:
        seen = self.image(prompts.latents.flatten(0, 1)).flatten(2).transpose(1, 2)
        placed = seen + self.prompt_pose(prompts.pose.flatten(0, 1))[:, None]
        return placed.unflatten(0, prompts.pose.shape[:2]).flatten(1, 2)


def with_prompts(network: ViewDenoiser, prompts: int) -> ViewDenoiser:
    """The same denoiser, which now takes prompts too; told of none, it makes the same views as before."""
    config = {name: value for name, value in network.conditioner.config.items() if not name.startswith("_")}
    conditioner = PromptedConditioner(**config, prompts=prompts)
    added = {name: value for name, value in conditioner.state_dict().items() if name.startswith("prompt_pose.")}
    conditioner.load_state_dict({**network.conditioner.state_dict(), **added})
    return ViewDenoiser(network.unet, conditioner)
