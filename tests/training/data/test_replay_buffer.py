"""Objects rendered while something learns from them: what comes out of the pools is what packs would give."""

import time
from pathlib import Path

import pytest
import torch
from numbered_packs import numbered_pack

from epimesh.cameras import RING
from epimesh.data.objects import ObjectRecord
from epimesh.data.packs.online_rendering import PROCEDURAL, REAL, EndlessViews, ObjectViews, Sources
from epimesh.data.packs.render_objects import RenderSettings, render_pack
from epimesh.data.packs.view_pack import EXTRA, ViewPack, fold_of
from epimesh.data.procedural.records import LoadProcedural, procedural_records
from epimesh.diffusion.autoencoder import load_autoencoder
from epimesh.training.data.latents import PairLatents
from epimesh.training.data.pack_data import on_white
from epimesh.training.data.picture_buffer import PicturePool
from epimesh.training.data.replay_buffer import CircularBuffer, LatentPool

VIEWS = RING + EXTRA


def numbered_latents() -> torch.Tensor:
    """Latents that are the number of the view; those of mirrored views are 100 more."""
    numbers = torch.arange(VIEWS).float()
    return torch.stack([numbers, numbers + 100])[None, :, :, None, None, None]


def filled_shelf(pack: ViewPack, capacity: int = 3) -> CircularBuffer:
    shelf = CircularBuffer(capacity, (1, 1, 1), "cpu")
    fold = torch.tensor([1])
    shelf.add(numbered_latents(), pack.azimuth_index[None], pack.elevation_deg[None], fold)
    return shelf


def test_rings_from_memory_begin_where_the_photo_stands_and_run_backwards_where_mirrored() -> None:
    pack = numbered_pack("cups")
    found = filled_shelf(pack).rings(300, ring_photos=0.5)
    mirrored_seen = {False: 0, True: 0}
    for item in range(300):
        mirrored = bool(found.photo[item] >= 100)
        photo = int(found.photo[item]) % 100
        ring = [int(value) - 100 * mirrored for value in found.ring[item].flatten()]
        start, step = int(pack.azimuth_index[photo]), -1 if mirrored else 1
        assert ring == [(start + step * turn) % RING for turn in range(RING)]
        assert found.elevation_deg[item] == pack.elevation_deg[photo]
        mirrored_seen[mirrored] += 1
    assert min(mirrored_seen.values()) > 50


def test_the_oldest_objects_make_room_for_new_ones() -> None:
    shelf = CircularBuffer(3, (1, 1, 1), "cpu")
    for number in range(5):
        latents = torch.full((1, 2, VIEWS, 1, 1, 1), float(number))
        shelf.add(latents, torch.zeros(1, VIEWS, dtype=torch.long), torch.zeros(1, VIEWS), torch.tensor([0]))
        assert len(shelf) == min(number + 1, 3)
    assert set(shelf.rings(60, 0.5).photo.flatten().tolist()) == {2.0, 3.0, 4.0}


class Delivered:
    """Deliveries that were made before, in place of rendering processes."""

    def __init__(self, deliveries: list[ObjectViews], size: int) -> None:
        self.deliveries = deliveries
        self.slots = ObjectViews(*(tensor[:0] for tensor in objects(size)))

    def take(self, most: int = 64) -> ObjectViews | None:
        return self.deliveries.pop(0) if self.deliveries else None


def objects(size: int, count: int = 2) -> ObjectViews:
    """Noise: a real object and a procedural one."""
    rgba = torch.randint(256, (count, VIEWS, 4, size, size), dtype=torch.uint8)
    rgba[:, :, :3] = torch.minimum(rgba[:, :, :3], rgba[:, :, 3:])
    return ObjectViews(
        rgba=rgba,
        depth=torch.rand(count, RING, size, size).half() + 1,
        azimuth_index=torch.cat([torch.arange(RING), torch.tensor([3, 7, 0, 9])]).expand(count, -1),
        elevation_deg=torch.rand(count, VIEWS) * 30,
        group=torch.tensor([REAL, PROCEDURAL][:count]),
        fold=torch.tensor([0, 1][:count]),
    )


def test_the_pool_holds_latents_of_both_groups_in_equal_shares_and_pairs_say_truly_how_they_are_turned() -> None:
    autoencoder = load_autoencoder("bundled:patch-vae")
    delivery = objects(32)
    pool = LatentPool(Delivered([delivery], 32), autoencoder, 4, "cpu")
    pool.wait_for(1)
    pairs: PairLatents = next(pool.pairs(64, per_object=4))
    assert pairs.fold.tolist() == [0] * 32 + [1] * 32
    images = torch.cat([delivery.rgba, delivery.rgba.flip(-1)]).flatten(0, 1)
    known = autoencoder.encode(on_white(images)).half().float().unflatten(0, (2, 2, VIEWS))  # mirrored, object, view
    for item in range(64):
        which = (known - pairs.photo[item]).flatten(3).abs().amax(-1) == 0
        mirrored, number, photo = (int(index) for index in which.nonzero()[0])
        start = int(delivery.azimuth_index[number, photo])
        view = (start + int(pairs.turn[item]) * (-1 if mirrored else 1)) % RING
        assert torch.equal(pairs.target[item], known[mirrored, number, view])


def test_a_pool_that_gets_too_little_says_so() -> None:
    pool = LatentPool(Delivered([], 32), load_autoencoder("bundled:patch-vae"), 4, "cpu")
    with pytest.raises(TimeoutError, match="fewer than 1 objects"):
        pool.wait_for(1, seconds=0.1)


def test_pictures_from_memory_begin_where_the_photo_stands_and_their_latents_are_their_own() -> None:
    autoencoder, delivery = load_autoencoder("bundled:patch-vae"), objects(32)
    pool = PicturePool(3, 32, "cpu")
    pool.add(delivery)
    pictures, latents = pool.rings(20, 0.5, autoencoder)
    for item in range(20):
        number, photo = (int(index) for index in (delivery.rgba == pictures.photo[item]).flatten(2).all(2).nonzero()[0])
        order = (int(delivery.azimuth_index[number, photo]) + torch.arange(RING)) % RING
        assert torch.equal(pictures.rgba[item], delivery.rgba[number, order])
        assert torch.equal(pictures.depth[item], delivery.depth[number, order].float())
        assert latents.fold[item] == delivery.fold[number]
    torch.testing.assert_close(latents.ring[3], autoencoder.encode(on_white(pictures.rgba[3])))


def test_a_pool_of_pictures_on_disk_is_the_pool_that_was_saved(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    pool = PicturePool(4, 8, "cpu")
    pool.rgba = torch.randint(256, pool.rgba.shape, dtype=torch.uint8, generator=random)
    pool.depth[0], pool.seen = 1.5, 3
    pool.save(tmp_path / "pictures.safetensors")
    loaded = PicturePool.load(tmp_path / "pictures.safetensors")
    assert len(loaded) == 3  # not the place that was never filled
    assert torch.equal(loaded.rgba, pool.rgba[:3])
    assert torch.equal(loaded.depth, pool.depth[:3])
    assert [file.name for file in tmp_path.iterdir()] == ["pictures.safetensors"]


def test_processes_deliver_what_packs_hold_and_end_with_the_context() -> None:
    records = procedural_records(9, 0, 2)  # stand for real ones
    with EndlessViews(Sources(records, None, load=LoadProcedural(None)), processes=1, size=32, slots=4) as views:
        found: list[ObjectViews] = []
        until = time.monotonic() + 60
        while sum(len(part.fold) for part in found) < 5 and time.monotonic() < until:
            if (part := views.take()) is not None:
                found.append(part)
            time.sleep(0.02)
    assert all(not process.is_alive() for process in views._processes)
    groups = torch.cat([part.group for part in found])[:4].tolist()
    assert groups == [REAL, PROCEDURAL, REAL, PROCEDURAL]
    first = render_pack(LoadProcedural(None)(records[0]), records[0], RenderSettings(size=32))
    assert torch.equal(found[0].rgba[0], first.rgba)
    assert torch.equal(found[0].azimuth_index[0], first.azimuth_index)
    assert int(found[0].fold[0]) == fold_of(records[0].family)


def test_a_rendering_process_that_dies_is_noticed() -> None:
    with EndlessViews(Sources([], None), processes=1, size=16, slots=2) as views:
        views._processes[0].terminate()
        views._processes[0].join()
        with pytest.raises(RuntimeError, match="has died"):
            views.take()


def test_an_object_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    broken = ObjectRecord("broken", tmp_path / "no.glb", "train", False, True, "f", "CC0-1.0", "")
    with EndlessViews(Sources([broken], None), processes=1, size=16, slots=2) as views:
        until, found = time.monotonic() + 60, None
        while found is None and time.monotonic() < until:
            found = views.take()
            time.sleep(0.02)
    assert found is not None
    assert found.group.tolist()[0] == PROCEDURAL
