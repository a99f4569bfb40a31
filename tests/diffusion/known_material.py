"""What is compared with: diffusers' scheduler, and pictures that have structure."""

import torch
from diffusers import DDIMScheduler


def scheduler(**settings: object) -> DDIMScheduler:
    """The schedule of latent diffusion as diffusers has it."""
    common = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}
    return DDIMScheduler(num_train_timesteps=1000, steps_offset=1, **common, **settings)


def smooth_images(count: int, size: int = 32, seed: int = 0) -> torch.Tensor:
    """Blurred noise in four channels, 0 to 1."""
    noise = torch.rand(count, 4, size // 4, size // 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, (size, size), mode="bicubic").clamp(0, 1)
