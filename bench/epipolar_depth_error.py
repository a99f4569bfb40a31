"""How much wrong depth costs each kind of training: the curves must cross, and where they do is what noise is for.

    python bench/epipolar_depth_error.py OUT --trained FOLDER --objects SHARED/data/objects [--split test --count 6]

FOLDER as for `epipolar_decoding.py`, of which this takes the variants that use depth. True latents with noise of .3
of their deviation are decoded with true depth plus errors of a random smooth field (3 x 3 values enlarged, each view
its own), of the largest size 0 to .3 scene units. Object PSNR and warp PSNR by true depth, minus those of the plain
decoder that was trained as long; means over objects and seeds, and the deviation over seeds. The table goes
to OUT/table.md.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from epipolar_cases import ELEVATION_DEG, PHOTO_SIZE, PLAIN, Trained, ring_views, subjects, trained_variants
from jaxtyping import Float
from torch import Tensor

from epimesh.data.posed.depth_noise import DepthNoise
from epimesh.evaluation.metrics.consistency import warp_psnr
from epimesh.evaluation.metrics.images import compare_views, mean_scores
from epimesh.views import LatentViews, Views

ERRORS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
COMPARED = ("no noise", "independent noise", "ours")
LATENT_NOISE = 0.3
MEASURES = ("object PSNR", "warp PSNR")


@dataclass(frozen=True)
class Case:
    """An object's noisy latents and the truth."""

    truth: Views
    latents: LatentViews

    def scores(self, decoder: Trained, depth: Float[Tensor, "V H W"]) -> Float[Tensor, "2"]:
        """Object PSNR and warp PSNR of a decoder that is told this depth."""
        views = decoder(self.latents, depth)
        assert self.truth.depth is not None
        warp = warp_psnr(views, self.truth.depth)
        return torch.tensor([mean_scores(compare_views(views, self.truth)).object_psnr, warp or float("nan")])


def cases(given: argparse.Namespace) -> list[Case]:
    """The objects."""
    found = []
    for number, subject in enumerate(subjects(given.objects, given.split, given.count, None, 0)):
        truth = subject.truth(elevation_deg=ELEVATION_DEG, size=PHOTO_SIZE)
        views = ring_views(truth)
        clean = PLAIN.autoencoder.encode(torch.cat([views.rgb, views.alpha], dim=1))
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(number))
        noisy = clean + LATENT_NOISE * noise * clean.std((0, 2, 3))[:, None, None]
        found.append(Case(views, LatentViews(noisy, views.cameras, truth.photo, "patch")))
    return found


def gains(given: argparse.Namespace) -> dict[str, np.ndarray]:
    """By variant: seeds x errors x measures, minus the plain decoder's."""
    asked = cases(given)
    found: dict[str, list[np.ndarray]] = {name: [] for name in COMPARED}
    for seed in given.seeds:
        variants = trained_variants(given.trained, seed)
        plain = [case.scores(variants["plain"], torch.full_like(case.truth.alpha[:, 0], torch.inf)) for case in asked]
        for name in COMPARED:
            rows = []
            for error in ERRORS:
                wrong = DepthNoise(amplitude=error, grids=(3,), fractions=(1.0,))
                scores = [
                    case.scores(variants[name], wrong(case.truth.depth, torch.Generator().manual_seed(seed))) - base
                    for case, base in zip(asked, plain, strict=True)
                    if case.truth.depth is not None
                ]
                rows.append(torch.stack(scores).nanmean(0).numpy())
            found[name].append(np.stack(rows))
            print(f"seed {seed}: {name}", flush=True)
    return {name: np.stack(of_seeds) for name, of_seeds in found.items()}


def table(found: dict[str, np.ndarray]) -> str:
    """Markdown."""
    lines = ["| minus plain, dB | " + " | ".join(f"{error:g}" for error in ERRORS) + " |", "|---" * 7 + "|"]
    for number, measure in enumerate(MEASURES):
        for name, values in found.items():
            mean, deviation = values[:, :, number].mean(0), values[:, :, number].std(0)
            cells = [f"{one:+.2f} ± {spread:.2f}" for one, spread in zip(mean, deviation, strict=True)]
            lines.append(f"| {measure}, {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measures, and writes both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--trained", type=Path, required=True)
    parser.add_argument("--objects", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    found = gains(given)
    (given.out / "table.md").write_text(table(found) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
