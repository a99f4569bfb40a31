"""One step of a joint generator: what is predicted for all views of an object, in every branch of guidance."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from epimesh.diffusion.guidance import Branch, DecomposedGuidance, Term
from epimesh.errors import BadWeights
from epimesh.stages.syncdreamer.depth_attention import along
from epimesh.stages.syncdreamer.unet import DepthUNet, Told
from epimesh.stages.syncdreamer.volume import Pyramid, SpatialVolume, picked

GROUPS = ("tokens", "channels", "volume")
"""The conditions that a branch of guidance may leave out: what comes by cross-attention, with the latents, by rays."""


@dataclass(frozen=True, eq=False)
class Conditions:
    """What is known of B objects.

    Args:
        channels: joined to the noisy latents of every view; the same for all views of an object, or one for each.
        tokens: for the cross-attention of every view.
        view: how every view differs from the photo, as `Rig.view_vectors` makes it.
        vector: for UNets with a class embedding; None for others.
    """

    channels: Float[Tensor, "B E h w"] | Float[Tensor, "B N E h w"]
    tokens: Float[Tensor, "B N L D"]
    view: Float[Tensor, "B N 4"]
    vector: Float[Tensor, "B N K"] | None = None


class JointDenoiser(nn.Module):
    """Denoises all views of an object together.

    Args:
        unet: predicts the noise of single views.
        volume: ties them together.

    Raises:
        BadWeights: the two do not fit each other.

    Source:
        Liu et al., "SyncDreamer" (arXiv:2309.03453), section 3.
    """

    def __init__(self, unet: DepthUNet, volume: SpatialVolume) -> None:
        super().__init__()
        self.unet = unet
        self.volume = volume
        wanted = (list(volume.config.frustum_channels), volume.config.latent_channels, volume.config.latent_size)
        found = (list(unet.config.frustum_channels), unet.unet.config.out_channels, unet.unet.config.sample_size)
        if found != wanted:
            raise BadWeights(
                f"The unet has (ray channels, latent channels, latent size) {found}, but the volume {wanted}.\n"
                "The parts belong to different models: export or convert them again."
            )

    @property
    def views(self) -> int:
        """N, how many views are denoised together."""
        return int(self.volume.config.views)

    def rays(self, noisy: Float[Tensor, "B N C h w"], times: Int[Tensor, "B"], view: Float[Tensor, "B N 4"]) -> Pyramid:
        """What all views see of the volume built from them; some views at a time, to save memory."""
        volume = self.volume(noisy, times, view)
        made = []
        for chosen in self._every_view(noisy).split(self.unet.batch, dim=1):
            levels = self.volume.frustums(volume, times, view, chosen)
            made.append([along(level).unflatten(0, chosen.shape) for level in levels])
        joined = [torch.cat(level, dim=1).flatten(0, 1) for level in zip(*made, strict=True)]
        return [level.permute(0, 4, 3, 1, 2) for level in joined]

    def forward(
        self,
        noisy: Float[Tensor, "B N C h w"],
        times: Int[Tensor, "B"],
        conditions: Conditions,
        guidance: DecomposedGuidance,
    ) -> Float[Tensor, "B N C h w"]:
        """The guided prediction for all views.

        Raises:
            BadInput: guidance is about other conditions than these, or the views do not fit the weights.
        """
        guidance.check(GROUPS)
        rays = self.rays(noisy, times, conditions.view)
        predicted = self.predictions(noisy, times, conditions, rays, self._every_view(noisy), guidance.branches)
        return guidance.combined(predicted).unflatten(0, (len(noisy), self.views))

    def predictions(
        self,
        noisy: Float[Tensor, "B N C h w"],
        times: Int[Tensor, "B"],
        conditions: Conditions,
        rays: Pyramid,
        chosen: Int[Tensor, "B n"],
        branches: Sequence[Branch],
    ) -> list[Float[Tensor, "V C h w"]]:
        """What every branch predicts for the chosen views; rows are objects, then views.

        Args:
            noisy: latents of all views.
            times: of every object.
            conditions: of every object.
            rays: what the chosen views see.
            chosen: numbers of the views, of every object.
            branches: of guidance. They differ only in what reaches the UNet; the volume is the same for all.
        """
        count = chosen.shape[1]
        rows = picked(noisy, chosen)
        channels = _of_views(conditions.channels, chosen)
        tokens = picked(conditions.tokens, chosen)
        vector = None if conditions.vector is None else picked(conditions.vector, chosen)
        inputs = torch.cat([torch.cat([rows, channels * branch.factor("channels")], dim=1) for branch in branches])
        told = Told(
            times=times.repeat_interleave(count).repeat(len(branches)),
            tokens=torch.cat([tokens * branch.factor("tokens") for branch in branches]),
            rays=rays,
            seeing=[branch.factor("volume") != 0 for branch in branches],
            vector=None if vector is None else torch.cat([vector * branch.factor("tokens") for branch in branches]),
        )
        return list(self.unet(inputs, told).chunk(len(branches)))

    def _every_view(self, noisy: Tensor) -> Int[Tensor, "B N"]:
        return torch.arange(self.views, device=noisy.device).expand(len(noisy), -1)


def _of_views(channels: Tensor, chosen: Int[Tensor, "B n"]) -> Float[Tensor, "V E h w"]:
    return picked(channels, chosen) if channels.ndim == 5 else channels.repeat_interleave(chosen.shape[1], dim=0)


def classifier_free(scale: float) -> DecomposedGuidance:
    """Away from what is predicted without any condition, as SyncDreamer does it."""
    return decomposed(everything=scale - 1)


def decomposed(
    everything: float = 0.0, photo: float = 0.0, volume: float = 0.0, channels_gain: float = 1.0
) -> DecomposedGuidance:
    """Guidance away from predictions without any condition, without the photo, and without the other views.

    Args:
        everything: scale of the first; classifier-free guidance of scale s is s - 1.
        photo: of the second; HarmonyView's s1.
        volume: of the third; HarmonyView's s2.
        channels_gain: factor on the photo's latents in the branch without volume; HarmonyView's public code has 4.
    """
    gains = () if channels_gain == 1 else (("channels", channels_gain),)
    return DecomposedGuidance(
        (
            Term(Branch(frozenset(GROUPS)), everything),
            Term(Branch(frozenset({"tokens", "channels"})), photo),
            Term(Branch(frozenset({"volume"}), gains), volume),
        )
    )
