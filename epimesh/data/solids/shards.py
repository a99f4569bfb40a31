"""Samples of objects in files of many, written without end by some processes while something learns from them."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.multiprocessing import get_context

from epimesh.data.packs.online_rendering import Sources, jobs
from epimesh.data.solids.samples import SolidSample, sampled
from epimesh.errors import BadInput
from epimesh.files.atomic import atomic_file

SHARD = 50  # objects; about half a megabyte each


def save_shard(samples: list[SolidSample], group: list[int], file: Path) -> None:
    """Writes a shard, whole or not at all."""
    columns = {
        name: torch.stack(column) for name, column in zip(SolidSample._fields, zip(*samples, strict=True), strict=True)
    }
    with atomic_file(file) as unfinished:
        save_file({**columns, "group": torch.tensor(group)}, unfinished)


def load_shard(file: Path) -> tuple[SolidSample, torch.Tensor]:
    """The samples of a shard as one batch, and their groups; they stay on disk until they are needed."""
    stored = load_file(file)
    return SolidSample(*(stored[name] for name in SolidSample._fields)), stored["group"]


class ShardWriters:
    """Processes that fill a folder with shards. A context manager: it ends them.

    Args:
        sources: of the objects.
        folder: of the shards; a later call goes on with further objects.
        processes: how many write.
        size: of the photos, pixels per side.
        at_most: shards in the folder; the writers end when there are as many.
    """

    def __init__(self, sources: Sources, folder: Path, processes: int, size: int = 128, at_most: int = 400) -> None:
        context = get_context("spawn")
        folder.mkdir(parents=True, exist_ok=True)
        parts = [replace(sources, records=sources.records[number::processes]) for number in range(processes)]
        self._processes = [
            context.Process(target=write_shards, args=(part, folder, number, processes, size, at_most), daemon=True)
            for number, part in enumerate(parts)
        ]

    def __enter__(self) -> "ShardWriters":
        for process in self._processes:
            process.start()
        return self

    def check(self) -> None:
        """Sees that all processes live or have ended well.

        Raises:
            RuntimeError: one has died.
        """
        if any(process.exitcode not in (None, 0) for process in self._processes):
            raise RuntimeError("A drawing process has died; its message is above.")

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()


def write_shards(sources: Sources, folder: Path, number: int, processes: int, size: int, at_most: int) -> None:
    """Writes shards one after the other; goes on behind those that process `number` has written before."""
    torch.set_num_threads(1)
    written = len(list(folder.glob(f"{number}-*.safetensors")))
    stream = itertools.islice(_samples(sources, number, processes, size, written), SHARD * at_most)
    while len(list(folder.glob("*.safetensors"))) < at_most:
        pairs = list(itertools.islice(stream, SHARD))
        samples, groups = (list(column) for column in zip(*pairs, strict=True))
        save_shard(samples, groups, folder / f"{number}-{written:05d}.safetensors")
        written += 1


def _samples(
    sources: Sources, number: int, processes: int, size: int, written: int
) -> Iterator[tuple[SolidSample, int]]:
    for index, (group, _, make, _) in enumerate(jobs(number, processes, sources)):
        if index < written * SHARD:
            continue
        try:
            yield sampled(make(), np.random.default_rng([sources.seed, number, index]), size), group
        except BadInput:  # an object that cannot be read or drawn: there are others
            continue
