"""Trains the networks that ship, one after the other, on one GPU, from objects rendered at the same time.

    python scripts/train_small_networks.py OBJECTS TEXTURES OUT --minutes 9 --processes 14

OBJECTS is a folder of GLBs with a manifest.csv, of which the training split is used; TEXTURES holds pictures of
materials for procedural objects, which are half of every batch. The same losses as `epimesh train`, but without files
in between: rendered objects go straight into a pool of latents on the GPU, and their oldest make room for new ones.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from epimesh.data.objects import read_manifest
from epimesh.data.packs.online_rendering import REAL, EndlessViews, Sources
from epimesh.diffusion.autoencoder import load_autoencoder
from epimesh.diffusion.sampler import Ddim
from epimesh.diffusion.schedules import uniform_timesteps
from epimesh.stages.coarse_prior.components import ViewComponents
from epimesh.stages.syncdreamer.denoiser import classifier_free
from epimesh.training.base import Training
from epimesh.training.coarse_prior.data import RingBatch, pixel_scale
from epimesh.training.coarse_prior.training import CoarsePriorTraining
from epimesh.training.data.latents import RingLatents
from epimesh.training.data.picture_buffer import PicturePool, RingWithDepth
from epimesh.training.data.replay_buffer import LatentPool
from epimesh.training.epipolar.small_training import SmallEpipolarDecoderTraining
from epimesh.training.syncdreamer.small_training import SmallSyncDreamerTraining
from epimesh.training.zero123.small_training import SmallZero123Training

AUTOENCODER = "bundled:patch-vae"
SHARES = {"folds": 0.10, "views": 0.38, "prior": 0.07, "joint": 0.33, "epipolar": 0.12}  # of the minutes
IMAGINED_EVERY = 3  # so seldom the epipolar decoder gets latents that the joint denoiser imagined


class Endless(IterableDataset):
    """Batches that a function makes without end."""

    def __init__(self, make: Callable[[], Iterator[Any]]) -> None:
        self.make = make

    def __iter__(self) -> Iterator[Any]:
        return self.make()


class Speed(pytorch_lightning.Callback):
    """Prints the loss and the steps per second now and then."""

    def __init__(self, name: str, pool: LatentPool, seconds: float) -> None:
        self.name, self.pool, self.seconds = name, pool, seconds
        self.losses: list[torch.Tensor] = []
        self.started = self.last = time.monotonic()

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Prints, if it is time to."""
        self.losses.append(outputs["loss"].detach())
        now = time.monotonic()
        if now - self.last < self.seconds:
            return
        rate, loss = len(self.losses) / (now - self.last), float(torch.stack(self.losses).mean())
        objects = " + ".join(str(shelf.seen) for shelf in self.pool.buffers.values())
        print(
            f"{self.name} {now - self.started:.0f} s: step {trainer.global_step}, {rate:.1f} steps/s, loss {loss:.4f}, "
            f"objects {objects}, {torch.cuda.max_memory_allocated() / 1e9:.1f} GB"
            if torch.cuda.is_available()
            else f"{self.name} {now - self.started:.0f} s: step {trainer.global_step}, loss {loss:.4f}",
            flush=True,
        )
        self.losses, self.last = [], now


def fit(training: Training, name: str, pool: LatentPool, batches: Callable[[], Iterator[Any]]) -> None:
    """Trains for the training's minutes."""
    for module in training.network.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)
    trainer = pytorch_lightning.Trainer(
        max_epochs=-1,
        accelerator="auto",
        devices=1,
        precision="bf16-mixed" if torch.cuda.is_available() else "32-true",
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Speed(name, pool, max(2.0, training.minutes * 6))],
    )
    trainer.fit(training, DataLoader(Endless(batches), batch_size=None))


def fitted_components(pool: LatentPool, objects: int) -> ViewComponents:
    """Principal components of the views in the pool."""
    latents = torch.cat([shelf.latents[: min(objects, len(shelf)), 0].flatten(0, 1) for shelf in pool.buffers.values()])
    components = ViewComponents(latents.shape[1], latents.shape[-1], codes=384).to(pool.device)
    components.fit(latents, pixel_scale(load_autoencoder(AUTOENCODER)).to(pool.device))
    return components


def ring_batches(
    pool: LatentPool, components: ViewComponents, count: int, without_fold: int | None
) -> Iterator[RingBatch]:
    """Rings as codes, without the objects of one fold."""
    components = components.to(pool.device)
    for rings in pool.rings(count):
        kept = rings if without_fold is None else RingLatents(*(part[rings.fold != without_fold] for part in rings))
        ring = components.encode(kept.ring.flatten(0, 1)).unflatten(0, (len(kept.fold), -1))
        yield RingBatch(components.encode(kept.photo), kept.elevation_deg, ring)


def train_prior(
    pool: LatentPool, components: ViewComponents, export: Path, minutes: float, batch: int, without_fold: int | None
) -> None:
    """A coarse prior; those that train the other networks have never seen one fold of the objects."""
    training = CoarsePriorTraining(str(export), minutes=minutes)
    training.describe_by(components)
    fit(training, export.name, pool, partial(ring_batches, pool, components, batch, without_fold))


@torch.no_grad()
def imagined(
    joint: SmallSyncDreamerTraining, rings: RingLatents, steps: int = 2, start: int = 300
) -> Float[Tensor, "B 16 C h w"]:
    """Rings as the joint denoiser imagines them, in a few steps from the coarse guess."""
    request = joint.request(rings)
    conditions = joint.network.conditions(request, rings.elevation_deg)
    denoiser = joint.network.joint

    def predict(noisy: Tensor, time: int) -> Tensor:
        times = torch.full((len(noisy),), time, device=noisy.device)
        with torch.autocast(noisy.device.type, torch.bfloat16, enabled=noisy.is_cuda):
            return denoiser(noisy, times, conditions, classifier_free(1.0)).float()

    guess = request.prior.unflatten(0, (-1, rings.ring.shape[1]))
    sampler = Ddim(schedule=joint.schedule, timesteps=uniform_timesteps(steps, start), prediction="v", eta=0.0)
    return sampler(predict, torch.randn_like(guess), start=guess)


def picture_batches(
    pool: LatentPool, joint: SmallSyncDreamerTraining, count: int
) -> Iterator[tuple[RingWithDepth, Tensor | None]]:
    """Pictures with depth, now and then with imagined latents."""
    assert pool.pictures is not None
    for number in itertools.count():
        pool.renew()
        pictures, latents = pool.pictures.rings(count, pool.ring_photos, pool.autoencoder)
        yield pictures, None if number % IMAGINED_EVERY else imagined(joint, latents)


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects", type=Path)
    parser.add_argument("textures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=9.0, help="of all trainings together")
    parser.add_argument("--processes", type=int, default=14, help="that render")
    parser.add_argument("--capacity", type=int, default=30000, help="objects of each group in the pool; 250 KB each")
    parser.add_argument("--first", type=int, default=1500, help="objects of each group before the first training")
    parser.add_argument("--prior-batch", type=int, default=2048)
    parser.add_argument("--pairs", type=int, default=1024, help="views per step of the view denoiser")
    parser.add_argument("--rings", type=int, default=64, help="objects per step of the joint denoiser")
    parser.add_argument("--views", type=int, default=8, help="supervised views of each of them")
    parser.add_argument("--pictures", type=int, default=3000, help="objects whose pictures are kept; 1.8 MB each")
    return parser.parse_args()


def run(settings: argparse.Namespace, sources: Sources) -> None:
    """All trainings in order; every one exports when it ends."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    autoencoder = load_autoencoder(AUTOENCODER).to(device, torch.float32)
    out, minutes = settings.out, {name: settings.minutes * share for name, share in SHARES.items()}
    with EndlessViews(sources, settings.processes) as views:
        pool = LatentPool(views, autoencoder, settings.capacity, device)
        started = time.monotonic()
        pool.wait_for(settings.first)
        print(f"{len(pool.buffers[REAL])} real objects after {time.monotonic() - started:.0f} s", flush=True)
        components = fitted_components(pool, settings.first)
        folds = [str(out / f"coarse-prior-{fold}") for fold in (0, 1)]
        for fold, folder in enumerate(folds):
            train_prior(pool, components, Path(folder), minutes["folds"] / 2, settings.prior_batch, fold)
        single = SmallZero123Training(
            str(out / "zero123-small"), AUTOENCODER, folds, minutes=minutes["views"], rate=1e-3, export_every=1000
        )
        fit(single, "views", pool, lambda: pool.pairs(settings.pairs))
        joint = SmallSyncDreamerTraining(
            str(out / "syncdreamer-small"), str(out / "zero123-small"), AUTOENCODER, folds,
            minutes=minutes["joint"], rate=1e-3, unet_share=0.0, views_per_step=settings.views, export_every=500,
        )  # fmt: skip
        train_prior(pool, components, out / "coarse-prior", minutes["prior"], settings.prior_batch, None)
        pool.pictures = PicturePool(settings.pictures, views.slots.rgba.shape[-1], device)
        fit(joint, "joint", pool, lambda: pool.rings(settings.rings))
        joint.to(device).network.load_state_dict(joint.averaged.weights)
        epipolar = SmallEpipolarDecoderTraining(str(out / "epipolar-small"), AUTOENCODER, minutes=minutes["epipolar"])
        fit(epipolar, "epipolar", pool, lambda: picture_batches(pool, joint, settings.rings))


def main() -> None:
    """Trains everything."""
    settings = arguments()
    records = read_manifest(settings.objects, "train")
    run(settings, Sources(records, settings.textures))


if __name__ == "__main__":
    main()
