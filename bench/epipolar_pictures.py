"""Close-ups of what the small epipolar decoder changes: plain, ours and the truth, in views that follow each other.

    python bench/epipolar_pictures.py OUT.jpg --objects SHARED/data/objects [--split test] NAME NAME ...

A row per object and kind of latents (encoded with noise of .3 of their deviation, imagined), from left to right the
photo, three neighbouring views decoded plainly, the same by --weights, and the truth, each cut to the object's middle
and enlarged four times without smoothing.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from epipolar_cases import (
    COARSE,
    ELEVATION_DEG,
    PHOTO_SIZE,
    PLAIN,
    SIZE,
    Trained,
    latents_of,
    ring_views,
)
from jaxtyping import Float
from torch import Tensor

from epimesh.data.objects import read_manifest
from epimesh.evaluation.ground_truth.truth_object import truth_object
from epimesh.runtime import Runtime
from epimesh.training.epipolar.small_variants import VARIANTS
from epimesh.views import to_picture

VIEWS = (2, 3, 4)  # of 16: where the photo shows the side, aslant
WINDOW, ZOOM, GAP = 64, 4, 6
LATENT_NOISE = 0.3


def close_up(images: Float[Tensor, "V 3 H W"]) -> Float[Tensor, "3 h w"]:
    """The middles of the views, side by side."""
    start = (SIZE - WINDOW) // 2
    cut = images[list(VIEWS), :, start : start + WINDOW, start : start + WINDOW]
    large = F.interpolate(cut, scale_factor=ZOOM, mode="nearest")
    return torch.cat(list(large), dim=2)


def rows_of(name: str, given: argparse.Namespace) -> list[Float[Tensor, "3 h w"]]:
    """The rows of one object."""
    record = next(one for one in read_manifest(given.objects, given.split) if one.id == name)
    truth = truth_object(record, elevation_deg=ELEVATION_DEG, size=PHOTO_SIZE)
    views, trained = ring_views(truth), Trained(VARIANTS["ours"], given.weights)
    photo = F.interpolate(truth.photo.on_white()[None], (WINDOW * ZOOM, WINDOW * ZOOM), mode="area")[0]
    rows = []
    for kind, latents in latents_of(views, truth.photo, given.seed):
        if kind == "encoded":
            noise = torch.randn(latents.latents.shape, generator=torch.Generator().manual_seed(given.seed))
            spread = latents.latents.std((0, 2, 3))[:, None, None]
            latents = type(latents)(
                latents.latents + LATENT_NOISE * noise * spread, latents.cameras, latents.photo, latents.latent_space
            )
        plain = PLAIN(latents, runtime=Runtime("cpu"))
        ours = trained(latents, COARSE(latents, runtime=Runtime("cpu", given.seed)))
        parts = [photo, *(close_up(one.rgb) for one in (plain, ours, views))]
        rows.append(torch.cat([F.pad(part, (0, GAP, 0, GAP), value=1.0) for part in parts], dim=2))
    return rows


def main() -> None:
    """Draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--weights", default="bundled:epipolar-small")
    parser.add_argument("--objects", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rows = [row for name in given.names for row in rows_of(name, given)]
    to_picture(torch.cat(rows, dim=1)).convert("RGB").save(given.out, quality=88)


if __name__ == "__main__":
    main()
