"""Trains the small epipolar decoder, or one of the variants that it is compared with, on CPU cores.

    python scripts/train_small_epipolar.py pictures OBJECTS TEXTURES pictures.safetensors --objects 2600
    python scripts/train_small_epipolar.py imagine pictures.safetensors imagined.safetensors --objects 600
    python scripts/train_small_epipolar.py train pictures.safetensors imagined.safetensors OUT --steps 800

First the training split's objects and as many procedural ones, 16 views with depth each (1.8 MB an object, 20 a second
and core). Then what the small SyncDreamer imagines of some of their photos (one a second and core). Then the training,
from true latents with noise and from imagined ones by turns; its loss goes to OUT/loss.csv. With the same seed the
variants that look near the rough depth see the same pictures in the same order; the others draw other numbers.

The comparison of `bench/epipolar_decoding.py` first trains `--variant plain --steps 500 --rate 3e-3`, and then every
variant with `--autoencoder` that, `--steps 70 --rate 1e-3` and seeds 0, 1 and 2.
"""

import argparse
import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader
from train_small_networks import AUTOENCODER, Endless, imagined

from epimesh.data.objects import read_manifest
from epimesh.data.packs.online_rendering import EndlessViews, Sources
from epimesh.diffusion.autoencoder import Autoencoder, load_autoencoder
from epimesh.training.base import Training
from epimesh.training.data.latents import random_photos
from epimesh.training.data.picture_buffer import PicturePool, RingWithDepth
from epimesh.training.epipolar.small_variants import VARIANTS, VariantTraining
from epimesh.training.syncdreamer.small_training import SmallSyncDreamerTraining

RING_PHOTOS = 0.3
OBJECTS_PER_STEP = 2


def render(settings: argparse.Namespace) -> None:
    """Fills a pool of pictures and writes it."""
    sources = Sources(read_manifest(settings.folder, "train"), settings.textures, seed=settings.seed)
    with EndlessViews(sources, settings.processes) as views:
        pool = PicturePool(settings.objects, views.slots.rgba.shape[-1], "cpu")
        while pool.seen < settings.objects:
            found = views.take()
            if found is None:
                time.sleep(0.02)
            else:
                pool.add(found)
    pool.save(settings.pictures)


def imagine(settings: argparse.Namespace) -> None:
    """Rings of latents as the generator makes them, from a random photo of every object."""
    torch.manual_seed(settings.seed)
    pool, autoencoder = PicturePool.load(settings.pictures), load_autoencoder(AUTOENCODER)
    joint = SmallSyncDreamerTraining(
        "", "bundled:syncdreamer-small", AUTOENCODER, ["bundled:coarse-prior"] * 2, minutes=1.0
    )
    joint.network.eval()
    rows = torch.arange(min(settings.objects, len(pool)))
    photo = random_photos(len(rows), RING_PHOTOS, rows.device)
    made = []
    for few in rows.split(4):
        latents = pool.chosen(few, photo[few], autoencoder).latents
        made.append(imagined(joint, latents, steps=3, start=500).half())
        print(f"{int(few[-1]) + 1} of {len(rows)}", flush=True)
    save_file({"row": rows, "photo": photo, "latents": torch.cat(made)}, settings.imagined)


class Pictures:
    """Endless batches; every second one with imagined latents."""

    def __init__(self, settings: argparse.Namespace, autoencoder: Autoencoder) -> None:
        self.pool, self.autoencoder, self.seed = PicturePool.load(settings.pictures), autoencoder, settings.seed
        stored = load_file(settings.imagined)
        self.row, self.photo, self.latents = stored["row"], stored["photo"], stored["latents"]

    def __call__(self) -> Iterator[tuple[RingWithDepth, Tensor | None]]:
        """One object at a time: on a CPU more at once are no quicker."""
        torch.manual_seed(self.seed)
        while True:
            for _ in range(OBJECTS_PER_STEP // 2):
                yield self.pool.rings(1, RING_PHOTOS, self.autoencoder).pictures, None
                one = torch.randint(len(self.row), (1,))
                pictures = self.pool.chosen(self.row[one], self.photo[one], self.autoencoder).pictures
                yield pictures, self.latents[one].float()


class Curve(pytorch_lightning.Callback):
    """Writes the mean loss of every few steps."""

    EVERY = 10

    def __init__(self, file: Path, batches_per_step: int = 1) -> None:
        self.file, self.batches_per_step, self.losses = file, batches_per_step, list[float]()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("step,loss\n")

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Writes, if it is time to."""
        self.losses.append(float(outputs["loss"].detach()))
        if len(self.losses) == self.EVERY * self.batches_per_step:
            with self.file.open("a", newline="") as file:
                mean = self.batches_per_step * sum(self.losses) / len(self.losses)
                csv.writer(file).writerow([trainer.global_step, f"{mean:.5f}"])
            self.losses = []


def fit_on_cpu(
    training: Training, batches: Callable[[], Iterator[Any]], settings: argparse.Namespace, batches_per_step: int = 1
) -> None:
    """Trains for `settings.steps` on endless batches; losses go to `settings.out`."""
    trainer = pytorch_lightning.Trainer(
        max_steps=settings.steps,
        accelerator="cpu",
        accumulate_grad_batches=batches_per_step,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Curve(settings.out / "loss.csv", batches_per_step)],
    )
    trainer.fit(training, DataLoader(Endless(batches), batch_size=None))


def train(settings: argparse.Namespace) -> None:
    """Trains for some steps, and exports."""
    torch.manual_seed(settings.seed)
    training = VariantTraining(
        settings.variant,
        str(settings.out),
        settings.steps,
        autoencoder=settings.autoencoder,
        start_from=settings.start_from,
        rate=settings.rate,
    )
    training.export_every = 100
    fit_on_cpu(training, Pictures(settings, load_autoencoder(AUTOENCODER)), settings, OBJECTS_PER_STEP)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    rendering = commands.add_parser("pictures", help="render objects")
    rendering.set_defaults(do=render)
    rendering.add_argument("folder", type=Path)
    rendering.add_argument("textures", type=Path)
    rendering.add_argument("pictures", type=Path)
    rendering.add_argument("--processes", type=int, default=2)
    imagining = commands.add_parser("imagine", help="let the small SyncDreamer imagine latents")
    imagining.set_defaults(do=imagine)
    imagining.add_argument("pictures", type=Path)
    imagining.add_argument("imagined", type=Path)
    for command, objects in ((rendering, 2600), (imagining, 600)):
        command.add_argument("--objects", type=int, default=objects)
    training = commands.add_parser("train", help="train the decoder or a variant")
    training.set_defaults(do=train)
    training.add_argument("pictures", type=Path)
    training.add_argument("imagined", type=Path)
    training.add_argument("out", type=Path)
    training.add_argument("--variant", choices=VARIANTS, default="ours")
    training.add_argument("--steps", type=int, default=800)
    training.add_argument("--rate", type=float, default=5e-4, help="peak learning rate")
    training.add_argument("--autoencoder", default=AUTOENCODER, help="folder of the plain decoder to begin as")
    training.add_argument("--start-from", help="folder of a trained decoder to go on from")
    for command in (rendering, imagining, training):
        command.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    settings = arguments()
    settings.do(settings)
