"""Fields of colours and of latents on the same frozen surface: what survives lifting, seen from views between.

    python bench/feature_field.py OBJECTS [--objects 8] [--seeds 0 1 2]

The surface is the visual hull of the 16 true views of the ring; maps are those views, or their latents. PSNR in dB
within the true silhouette of 8 views that were not fitted. "D(E(truth))" is what the autoencoder leaves of the truth
itself. The last two columns use a decoder that was tuned to the scene: for the field, and for the truth's own latents.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from extrapolation_cases import SIZE, truths, unseen

from epimesh.cameras import Cameras
from epimesh.diffusion.autoencoder import load_autoencoder
from epimesh.diffusion.decoder_tuning import tuned
from epimesh.evaluation.metrics.images import psnr
from epimesh.reconstruction import VisualHull
from epimesh.reconstruction.feature_field import FeatureFieldFit, feature_field
from epimesh.runtime import Runtime

NAMES = ["RGB field", "latent field", "D(E(truth))", "latent field, tuned", "D(E(truth)), tuned", "CPU s"]


def measured(truth, seed: int) -> list[float]:  # type: ignore[no-untyped-def]
    """One object with one seed."""
    cpu, generator = time.process_time(), torch.Generator().manual_seed(seed)
    autoencoder = load_autoencoder("bundled:patch-vae")
    ring = truth.views(Cameras.ring(16, size=SIZE), threads=1)
    surface = VisualHull(resolution=64)(ring, None, runtime=Runtime("cpu", seed))
    aside = unseen(truth)
    fitted, truths_own = (torch.cat([views.rgb, views.alpha], dim=1) for views in (ring, aside))
    with torch.no_grad():
        latents, own = autoencoder.encode(fitted), autoencoder.encode(truths_own)
        empty = torch.ones(1, 4, SIZE, SIZE)
        empty[:, 3] = 0
        background = autoencoder.encode(empty).mean(dim=(0, 2, 3))
    colours = feature_field(
        surface, ring.rgb, ring.cameras, FeatureFieldFit(side=64), background=torch.ones(3), generator=generator
    )
    how = FeatureFieldFit(side=latents.shape[-1], steps=400)
    field = feature_field(surface, latents, ring.cameras, how, background=background, generator=generator)
    small = ring.cameras.resized(*latents.shape[-2:]), aside.cameras.resized(*latents.shape[-2:])
    lifted = [field.render(cameras) for cameras in small]
    scene = tuned(autoencoder, lifted[0], fitted, generator=generator)

    def score(images: torch.Tensor) -> float:
        pairs = zip(images[:, :3], aside.rgb, aside.alpha[:, 0] > 0.5, strict=True)
        return statistics.mean(psnr(*pair) for pair in pairs)

    with torch.no_grad():
        made = [colours.render(aside.cameras), autoencoder.decode(lifted[1]), autoencoder.decode(own)]
        made += [scene.decode(lifted[1]), scene.decode(own)]
    return [*map(score, made), time.process_time() - cpu]


def main() -> None:
    """Prints a row per object, mean over seeds; medians over objects, and the spread of seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects_folder", type=Path)
    parser.add_argument("--objects", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    print(f"| object | {' | '.join(NAMES)} |\n|" + "---|" * (len(NAMES) + 1))
    rows, spreads = [], []
    for name, truth in truths(args.objects_folder, args.objects):
        seeds = list(zip(*(measured(truth, seed) for seed in args.seeds), strict=True))
        rows.append([statistics.mean(values) for values in seeds])
        spreads.append([statistics.pstdev(values) for values in seeds])
        print(f"| {name[:12]} | " + " | ".join(f"{value:.2f}" for value in rows[-1]) + " |", flush=True)
    for title, table in (("median", rows), ("spread of seeds, median", spreads)):
        columns = [statistics.median(column) for column in zip(*table, strict=True)]
        print(f"| {title} | " + " | ".join(f"{value:.2f}" for value in columns) + " |")


if __name__ == "__main__":
    main()
