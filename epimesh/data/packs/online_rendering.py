"""Views of ever new objects, rendered by many processes while something learns from them."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.multiprocessing import get_context

from epimesh.cameras import RING
from epimesh.data.objects import ObjectRecord
from epimesh.data.packs.augment import augmented
from epimesh.data.packs.render_objects import RenderSettings, drawn_pack, load_recorded, random_numbers
from epimesh.data.packs.view_pack import EXTRA, fold_of
from epimesh.data.procedural.records import LoadProcedural, procedural_records
from epimesh.errors import BadInput
from epimesh.mesh import Mesh

REAL, PROCEDURAL = 0, 1


class ObjectViews(NamedTuple):
    """All views of B objects.

    Args:
        rgba: premultiplied by alpha: the ring, then the others.
        depth: of the ring, along the optical axis in scene units; infinite where nothing is.
        azimuth_index: in steps of 22.5 degrees.
        elevation_deg: of the cameras.
        group: REAL or PROCEDURAL.
        fold: 0 or 1, by family.
    """

    rgba: UInt8[Tensor, "B V 4 H W"]
    depth: Float[Tensor, "B 16 H W"]
    azimuth_index: Int[Tensor, "B V"]
    elevation_deg: Float[Tensor, "B V"]
    group: Int[Tensor, "B"]
    fold: Int[Tensor, "B"]


@dataclass(frozen=True)
class Sources:
    """Where the objects come from.

    Args:
        records: real objects; each is rendered as it is in the first round, and varied in half of the further ones.
        photos: folder with pictures of materials for procedural objects.
        real_share: of the rendered objects, after the first round.
        seed: of everything random.
        load: reads a real object.
    """

    records: list[ObjectRecord]
    photos: Path | None
    real_share: float = 0.3
    seed: int = 0
    load: Callable[[ObjectRecord], Mesh] = load_recorded


class EndlessViews:
    """Processes that render without end into a few slots of shared memory. A context manager: it ends them.

    Args:
        sources: of the objects.
        processes: how many render.
        size: pixels per side.
        slots: objects that wait to be taken at most.
    """

    def __init__(self, sources: Sources, processes: int, size: int = 128, slots: int = 256) -> None:
        context = get_context("spawn")
        views = RING + EXTRA
        self.slots = ObjectViews(
            rgba=torch.zeros(slots, views, 4, size, size, dtype=torch.uint8),
            depth=torch.zeros(slots, RING, size, size, dtype=torch.half),
            azimuth_index=torch.zeros(slots, views, dtype=torch.long),
            elevation_deg=torch.zeros(slots, views),
            group=torch.zeros(slots, dtype=torch.long),
            fold=torch.zeros(slots, dtype=torch.long),
        )
        for tensor in self.slots:
            tensor.share_memory_()
        self._free, self._ready = context.SimpleQueue(), context.SimpleQueue()
        for slot in range(slots):
            self._free.put(slot)
        # Every process is sent its own records only: what fits into a pipe does not wait until the process has started.
        parts = [replace(sources, records=sources.records[number::processes]) for number in range(processes)]
        shared = (self.slots, self._free, self._ready)
        self._processes = [
            context.Process(target=_render_forever, args=(number, processes, part, *shared), daemon=True)
            for number, part in enumerate(parts)
        ]

    def __enter__(self) -> "EndlessViews":
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()

    def take(self, most: int = 64) -> ObjectViews | None:
        """Copies of objects that were finished since, or None; does not wait.

        Raises:
            RuntimeError: a rendering process has died.
        """
        if any(not process.is_alive() for process in self._processes):
            raise RuntimeError("A rendering process has died; its message is above.")
        found: list[int] = []
        while len(found) < most and not self._ready.empty():
            found.append(self._ready.get())
        if not found:
            return None
        views = ObjectViews(*(tensor[found] for tensor in self.slots))
        for slot in found:
            self._free.put(slot)
        return views


def _render_forever(
    number: int, processes: int, sources: Sources, slots: ObjectViews, free: SimpleQueue, ready: SimpleQueue
) -> None:
    torch.set_num_threads(1)
    for group, record, make, seed in jobs(number, processes, sources):
        try:
            pack, depth = drawn_pack(make(), record, RenderSettings(size=slots.rgba.shape[-1], seed=seed))
        except BadInput:  # an object that cannot be read or drawn: there are others
            continue
        slot = free.get()
        slots.rgba[slot] = pack.rgba
        slots.depth[slot] = depth[:RING]
        slots.azimuth_index[slot] = pack.azimuth_index
        slots.elevation_deg[slot] = pack.elevation_deg
        slots.group[slot] = group
        slots.fold[slot] = fold_of(record.family)
        ready.put(slot)


Job = tuple[int, ObjectRecord, Callable[[], Mesh], int]


def jobs(number: int, processes: int, sources: Sources) -> Iterator[Job]:
    """What one of the processes renders: its part of the real objects once, then a mixture without end."""
    random = np.random.default_rng([sources.seed, number])
    real, made_up = _real(sources), _procedural(sources, number, processes)
    for _ in sources.records:
        yield next(real)
        yield next(made_up)
    while True:
        yield next(real) if sources.records and random.random() < sources.real_share else next(made_up)


def _real(sources: Sources) -> Iterator[Job]:
    for turn in itertools.count():
        for record in sources.records:
            seed = sources.seed + turn
            yield REAL, record, _Loaded(sources, record, turn), seed


def _procedural(sources: Sources, number: int, processes: int) -> Iterator[Job]:
    load = LoadProcedural(sources.photos)
    for index in itertools.count(number, processes):
        record = procedural_records(sources.seed, index, 1)[0]
        yield PROCEDURAL, record, _Made(load, record), sources.seed


@dataclass(frozen=True)
class _Loaded:
    sources: Sources
    record: ObjectRecord
    turn: int

    def __call__(self) -> Mesh:
        mesh = self.sources.load(self.record)
        random = random_numbers(RenderSettings(seed=self.turn), f"vary {self.record.id}")
        return augmented(mesh, random) if self.turn and random.random() < 0.5 else mesh


@dataclass(frozen=True)
class _Made:
    load: LoadProcedural
    record: ObjectRecord

    def __call__(self) -> Mesh:
        return self.load(self.record)
