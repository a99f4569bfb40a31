"""What a view denoiser looks at: principal components of its features, the same three for several views.

Source: Jambon, ETH Zurich (2023), section 7, after Tumanyan et al., "Plug-and-Play Diffusion Features" (2023).
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from epimesh.stages.shared.latent_conditioner import ViewCondition
from epimesh.stages.shared.prior_guided import pose
from epimesh.views import Views

if TYPE_CHECKING:
    from epimesh.stages.zero123.small_network import LoadedDenoiser


@torch.no_grad()
def features(
    loaded: "LoadedDenoiser", latents: Float[Tensor, "V C h w"], views: Views, time: int, generator: torch.Generator
) -> dict[str, Float[Tensor, "V F s s"]]:
    """Residual features, and queries and keys of self-attention, of every layer of the decoder, finest last.

    Args:
        loaded: the small view denoiser; it is told the first view as the photo, and every view as its guess.
        latents: of the views.
        views: whose cameras are told.
        time: how noisy the latents are made.
        generator: of the noise.
    """
    network, found = loaded.network, dict[str, Tensor]()
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: found.update({name: out}))
        for name, module in network.unet.named_modules()
        if name.startswith("up_blocks") and _is_wanted(name, module)
    ]
    try:
        noise = torch.randn(latents.shape, generator=generator)
        times = torch.full((len(latents),), time)
        photo = latents[:1].expand_as(latents)
        request = ViewCondition(photo, pose(views.cameras[0], views.cameras), latents)
        network(loaded.schedule.add_noise(latents, noise, times), times, request)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: _as_map(out) for name, out in found.items()}


def _is_wanted(name: str, module: nn.Module) -> bool:
    return type(module).__name__ == "ResnetBlock2D" or name.endswith(("attn1.to_q", "attn1.to_k"))


def _as_map(out: Tensor) -> Float[Tensor, "V F s s"]:
    if out.dim() == 4:
        return out
    side = round(out.shape[1] ** 0.5)
    return out.transpose(1, 2).unflatten(2, (side, side))


def joint_components(features: Float[Tensor, "V F s s"]) -> Float[Tensor, "V 3 s s"]:
    """The three strongest principal components over all views together, as colours from 0 to 1."""
    rows = features.movedim(1, -1).flatten(0, 2).double()
    centred = rows - rows.mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    three = centred @ directions[:3].T
    three = torch.nn.functional.pad(three, (0, 3 - three.shape[1]))
    low, high = three.amin(0), three.amax(0)
    scaled = (three - low) / (high - low).clamp_min(1e-12)
    views, _, height, width = features.shape
    return scaled.float().reshape(views, height, width, 3).movedim(-1, 1)
