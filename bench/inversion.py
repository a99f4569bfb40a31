"""DDIM inversion and null-text inversion of true views: how much of the view comes back, and on a view beside it.

    python bench/inversion.py OBJECTS [--objects 8] [--steps 20] [--guidance 7.5]

PSNR in dB between what the inverted latents decode to and what the view's own latents decode to, so the autoencoder
costs nothing. "Next view" replays the embeddings that were learned on one view along the inversion of the view beside
it. Nothing is random, so there are no seeds.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from extrapolation_cases import truths

from epimesh.cameras import Cameras
from epimesh.diffusion.inversion import inverted, null_text, resampled
from epimesh.diffusion.schedules import uniform_timesteps
from epimesh.diffusion.score_guide import as_noise
from epimesh.evaluation.metrics.images import psnr
from epimesh.runtime import Runtime
from epimesh.stages import SmallZero123

VIEWS = (4, 5)


def main() -> None:
    """Prints a row per object, and medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects_folder", type=Path)
    parser.add_argument("--objects", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=7.5)
    args = parser.parse_args()
    guide = SmallZero123().guide(Runtime("cpu"))
    ring, times = Cameras.ring(16, size=guide.image_size), uniform_timesteps(args.steps)
    names = ["1/1", f"1/{args.guidance:g}", "null-text", "next view plain", "next view null-text", "CPU s"]
    print(f"| object | {' | '.join(names)} |\n|" + "---|" * (len(names) + 1))
    rows = []
    for name, truth in truths(args.objects_folder, args.objects):
        cpu, found = time.process_time(), []
        views = truth.views(ring[list(VIEWS)], threads=1)
        latents = guide.encode(torch.cat([views.rgb, views.alpha], dim=1))
        parts, pivots, strong = [], [], []
        for number, view in enumerate(VIEWS):
            parts.append(guide.null_parts(truth.photo, ring[view]))
            pivots.append(inverted(parts[-1].conditional, latents[number : number + 1], times, guide.schedule))
            guided = guide.denoiser(truth.photo, ring[view], args.guidance)
            strong.append(as_noise(guided, guide.schedule, guide.prediction))

        def likeness(made: torch.Tensor, number: int, latents: torch.Tensor = latents) -> float:
            with torch.no_grad():
                return psnr(*(guide.decode(one)[0, :3] for one in (made, latents[number : number + 1])))

        conditional, unconditional, null = parts[0]
        learned = null_text(pivots[0], conditional, unconditional, null, guidance=args.guidance)
        found.append(likeness(resampled(pivots[0], conditional), 0))
        found.append(likeness(resampled(pivots[0], strong[0]), 0))
        with torch.no_grad():
            found.append(likeness(learned.resampled(pivots[0], conditional, unconditional, args.guidance), 0))
            found.append(likeness(resampled(pivots[1], strong[1]), 1))
            found.append(likeness(learned.resampled(pivots[1], *parts[1][:2], args.guidance), 1))
        found.append(time.process_time() - cpu)
        rows.append(found)
        print(f"| {name[:12]} | " + " | ".join(f"{value:.2f}" for value in found) + " |", flush=True)
    medians = [statistics.median(column) for column in zip(*rows, strict=True)]
    print("| median | " + " | ".join(f"{value:.2f}" for value in medians) + " |")


if __name__ == "__main__":
    main()
