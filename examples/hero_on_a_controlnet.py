"""Attention filtering on a ControlNet: text to image, guided by a drawing.

The models here are tiny and random, so the picture means nothing; put trained ones in their place:

    unet = UNet2DConditionModel.from_pretrained("stable-diffusion-v1-5/stable-diffusion-v1-5", subfolder="unet")
    controlnet = ControlNetModel.from_pretrained("lllyasviel/sd-controlnet-seg")
"""

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn

from epimesh.diffusion.attention_control.controller import Row
from epimesh.diffusion.attention_control.map_filter import MapFilter
from epimesh.diffusion.attention_control.processor import controlled
from epimesh.diffusion.guidance import guided
from epimesh.diffusion.sampler import Ddim, Denoise, Resampling
from epimesh.diffusion.schedules import NoiseSchedule, Window, uniform_timesteps

NOISY = Window(700)
FILTER = MapFilter(fresh=0.5, pool_window=NOISY, history_window=NOISY)  # less history than for novel views
SAMPLER = Ddim(
    schedule=NoiseSchedule.scaled_linear(),
    timesteps=uniform_timesteps(50, spacing="leading"),
    resampling=Resampling(passes=5, window=NOISY),
)


def tiny_models() -> nn.ModuleDict:
    """A UNet and a ControlNet of it. Together in one module, one `controlled` reaches both."""
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 4, 4, 4))
    return nn.ModuleDict({"unet": unet, "controlnet": controlnet}).eval().requires_grad_(False)


def denoiser(models: nn.ModuleDict, text: Tensor, drawing: Tensor) -> Denoise:
    """Both networks as one denoiser."""

    def denoise(x: Tensor, time: int) -> Tensor:
        down, middle = models["controlnet"](x, time, text, drawing, return_dict=False)
        return models["unet"](
            x, time, text, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample

    return denoise


def main(sampler: Ddim = SAMPLER) -> None:
    """Samples two images of one drawing, with and without the filter."""
    torch.manual_seed(0)
    models, drawing = tiny_models(), torch.rand(2, 3, 64, 64)
    text, no_text = torch.randn(2, 4, 8), torch.zeros(2, 4, 8)
    noise = torch.randn(2, 4, 8, 8)

    def rows(branch: str) -> list[Row]:
        return [Row(image, branch) for image in range(2)]

    plain = sampler(
        guided(denoiser(models, text, drawing), denoiser(models, no_text, drawing), scale=7.5),
        noise,
        generator=torch.Generator().manual_seed(1),
    )
    with controlled(models, [FILTER]) as controller:
        filtered = sampler(
            guided(
                controller.with_rows(denoiser(models, text, drawing), rows("conditional")),
                controller.with_rows(denoiser(models, no_text, drawing), rows("unconditional")),
                scale=7.5,
            ),
            noise,
            generator=torch.Generator().manual_seed(1),
            listen=controller.at,
        )
    print(f"{len(sampler.timesteps)} steps, {sampler.evaluations} evaluations, two images")
    print(f"the filter changed the latents by {float((filtered - plain).std() / plain.std()):.0%} of their deviation")
    print(f"and held {controller.peak_bytes / 2**20:.2f} MiB of attention maps at most")


if __name__ == "__main__":
    main()
