"""Attention filtering on a multi-view text model in the manner of MVDream: four views that attend jointly.

The model here is tiny and random, so the pictures mean nothing. What it shares with MVDream is what matters to the
filter: self-attention runs over the tokens of all views of a sample at once, and cameras enter beside the time.
"""

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

from epimesh.cameras import Cameras
from epimesh.diffusion.attention_control.controller import Layers, Row
from epimesh.diffusion.attention_control.map_filter import MapFilter
from epimesh.diffusion.attention_control.processor import controlled
from epimesh.diffusion.guidance import guided
from epimesh.diffusion.sampler import Ddim, Denoise, Resampling
from epimesh.diffusion.schedules import NoiseSchedule, Window, uniform_timesteps

VIEWS = 4
NOISY = Window(700)
# Four views of 8 x 8 are 256 tokens. At MVDream's size they are 4096, so a map has 16.8 million scores per head: there,
# filter the smaller layers only.
FILTER = MapFilter(fresh=0.5, pool_window=NOISY, history_window=NOISY, layers=Layers(max_tokens=1024))
SAMPLER = Ddim(
    schedule=NoiseSchedule.scaled_linear(),
    timesteps=uniform_timesteps(50, spacing="leading"),
    resampling=Resampling(passes=5, window=NOISY),
)


class JointViews(nn.Module):
    """Self-attention over the tokens of all views of a sample.

    Args:
        attention: an ordinary self-attention.
    """

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, tokens: Tensor, **given: object) -> Tensor:
        """(samples x views, N, C) in and out; inside, (samples, views x N, C)."""
        joint = tokens.unflatten(0, (-1, VIEWS)).flatten(1, 2)
        return self.attention(joint, **given).unflatten(1, (VIEWS, -1)).flatten(0, 1)


def tiny_model() -> UNet2DConditionModel:
    """A UNet whose views attend jointly and whose time embedding is told the camera."""
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=2,
        norm_num_groups=4,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=16,
    )
    for block in list(unet.modules()):
        if isinstance(block, BasicTransformerBlock):
            block.attn1 = JointViews(block.attn1)
    return unet.eval().requires_grad_(False)


def main(sampler: Ddim = SAMPLER) -> None:
    """Samples four views of one text, with and without the filter."""
    torch.manual_seed(0)
    unet, noise = tiny_model(), torch.randn(VIEWS, 4, 8, 8)
    cameras = Cameras.ring(VIEWS, size=64).world_to_camera.flatten(1)
    text, no_text = torch.randn(1, 4, 8), torch.zeros(1, 4, 8)

    def denoiser(text: Tensor) -> Denoise:
        return lambda x, time: unet(x, time, text.expand(VIEWS, -1, -1), class_labels=cameras).sample

    plain = sampler(guided(denoiser(text), denoiser(no_text), scale=7.5), noise, generator=seeded())
    with controlled(unet, [FILTER]) as controller:
        # The attention sees one row per sample, since its views are joined.
        filtered = sampler(
            guided(
                controller.with_rows(denoiser(text), [Row(0, "conditional")]),
                controller.with_rows(denoiser(no_text), [Row(0, "unconditional")]),
                scale=7.5,
            ),
            noise,
            generator=seeded(),
            listen=controller.at,
        )
    print(f"{len(sampler.timesteps)} steps, {sampler.evaluations} evaluations, {VIEWS} views")
    print(f"the filter changed the latents by {float((filtered - plain).std() / plain.std()):.0%} of their deviation")
    print(f"and held {controller.peak_bytes / 2**20:.2f} MiB of attention maps at most")


def seeded() -> torch.Generator:
    """The same fresh noise for both."""
    return torch.Generator().manual_seed(1)


if __name__ == "__main__":
    main()
