"""Trains the refiner of the small cascade on CPU cores, or one of the refiners that it is compared with.

    python scripts/train_small_epipolar.py pictures OBJECTS TEXTURES pictures.safetensors --objects 2600
    python scripts/train_small_cascade.py pictures.safetensors OUT --steps 1000 --priors FOLD0 FOLD1

A tenth of the steps is without prompts. `--prompts none` goes on training the same network for as many steps without
any, which is what the others have to be better than; `--prompts truth` prompts with true views, which nobody has. All
three see the same photos in the same order. Losses go to OUT/loss.csv.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from train_small_epipolar import fit_on_cpu
from train_small_networks import AUTOENCODER

from epimesh.diffusion.autoencoder import load_autoencoder
from epimesh.training.cascade.small_training import SmallCascadeZero123Training
from epimesh.training.data.latents import RingLatents
from epimesh.training.data.picture_buffer import PicturePool

RING_PHOTOS = 0.3
REFINERS = {
    "base": {},
    "truth": {"prompts": "truth"},
    "none": {"nearby": (), "coarse_target": False},
}


class BySteps(SmallCascadeZero123Training):
    """With a schedule by steps: refiners that cost more are not to learn less."""

    steps = 1000

    def progress(self) -> float:
        """By steps."""
        return self.global_step / self.steps


def photos(pictures: Path, objects: int, seed: int) -> Iterator[RingLatents]:
    """Endless batches of random photos, from a stream of random numbers of their own."""
    pool, autoencoder = PicturePool.load(pictures), load_autoencoder(AUTOENCODER)
    random = torch.Generator().manual_seed(seed)
    while True:
        with torch.random.fork_rng():
            torch.manual_seed(int(torch.randint(2**62, (), generator=random)))
            batch = pool.rings(objects, RING_PHOTOS, autoencoder).latents
        yield batch


def main() -> None:
    """Trains for some steps, and exports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--prompts", choices=REFINERS, default="base")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--objects", type=int, default=4, help="per step, four views of each")
    parser.add_argument("--priors", nargs=2, help="coarse priors that never saw one fold of the objects")
    parser.add_argument("--start-from", help="folder of a refiner to go on from")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    training = BySteps(str(given.out), priors=given.priors, start_from=given.start_from, **REFINERS[given.prompts])
    training.steps = given.steps
    fit_on_cpu(training, lambda: photos(given.pictures, given.objects, given.seed), given)


if __name__ == "__main__":
    main()
