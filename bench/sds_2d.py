"""Score distillation of one picture: guidance x augmentation x space, with a picture grid.

    python bench/sds_2d.py OBJECTS OUT [--steps 200] [--guidance 1 3 10 30] [--seeds 0]

What is learned is a grid of 128 x 128 pixels with coverage, or one of 16 x 16 latents. Augmented, it is turned by up
to 30 degrees and scaled by .6 to 1.2 before every look. The guide is the small Zero-1-to-3, asked for one view.
"DDIM dB" is the likeness to what the guide samples itself, in 20 steps without guidance.
"""

import argparse
import math
from pathlib import Path

import torch
from extrapolation_cases import truths

from epimesh.cameras import Cameras
from epimesh.diffusion.sampler import Ddim
from epimesh.diffusion.schedules import uniform_timesteps
from epimesh.diffusion.score_distillation import ScoreGradient, saturated_share, surrogate
from epimesh.evaluation.metrics.images import psnr
from epimesh.runtime import Runtime
from epimesh.stages import SmallZero123
from epimesh.views import contact_sheet

VIEW = 4


def augmented(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Turned and scaled about the middle; white and empty comes in from outside where the image has that at its rim."""
    angle = math.radians(60 * (float(torch.rand((), generator=generator)) - 0.5))
    scale = 0.6 + 0.6 * float(torch.rand((), generator=generator))
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    grid = torch.nn.functional.affine_grid(
        torch.tensor([[[cos, -sin, 0], [sin, cos, 0]]]), list(image.shape), align_corners=False
    )
    return torch.nn.functional.grid_sample(image, grid, padding_mode="border", align_corners=False)


def distilled(guide, denoise, space: str, augment: bool, steps: int, seed: int) -> torch.Tensor:  # type: ignore[no-untyped-def]
    """The picture, 1 x 4 x 128 x 128."""
    generator = torch.Generator().manual_seed(seed)
    size = (guide.image_size, 4) if space == "pixels" else (guide.latent_size, 12)
    start = 0.5 + 0.1 * torch.randn(1, size[1], size[0], size[0], generator=generator)
    grid = (start if space == "pixels" else torch.randn(start.shape, generator=generator)).requires_grad_()
    gradient = ScoreGradient(schedule=guide.schedule, prediction=guide.prediction)
    optimizer = torch.optim.Adam([grid], lr=0.02 if space == "pixels" else 0.1)
    for _ in range(steps):
        seen = augmented(grid, generator) if augment else grid
        latents = guide.encode(seen) if space == "pixels" else seen
        optimizer.zero_grad()
        surrogate(latents, gradient.at_random(denoise, latents.detach(), generator)).backward()
        optimizer.step()
        if space == "pixels":
            with torch.no_grad():
                grid.clamp_(0, 1)
    with torch.no_grad():
        return grid.detach() if space == "pixels" else guide.decode(grid)


def main() -> None:
    """Prints a row per setting and writes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects_folder", type=Path)
    parser.add_argument("out", type=Path, help="the picture")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 3.0, 10.0, 30.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    args = parser.parse_args()
    _, truth = next(truths(args.objects_folder, 1))
    guide = SmallZero123().guide(Runtime("cpu"))
    camera = Cameras.ring(16, size=guide.image_size)[VIEW]
    sampler = Ddim(schedule=guide.schedule, timesteps=uniform_timesteps(20), prediction=guide.prediction)
    noise = torch.randn(1, 12, guide.latent_size, guide.latent_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        answer = guide.decode(sampler(guide.denoiser(truth.photo, camera, 1.0), noise))
    pictures = [answer[:, :3]]
    print("| space | augmented | guidance | seed | saturated | DDIM dB |\n|---|---|---|---|---|---|")
    for space in ("pixels", "latents"):
        for augment in (False, True):
            for guidance in args.guidance:
                denoise = guide.denoiser(truth.photo, camera, guidance)
                for seed in args.seeds:
                    made = distilled(guide, denoise, space, augment, args.steps, seed)
                    share, likeness = saturated_share(made[:, :3]), psnr(made[0, :3], answer[0, :3])
                    print(f"| {space} | {augment} | {guidance:g} | {seed} | {share:.1%} | {likeness:.2f} |", flush=True)
                pictures.append(made[:, :3])
    contact_sheet(torch.cat(pictures), columns=len(args.guidance)).save(args.out)


if __name__ == "__main__":
    main()
