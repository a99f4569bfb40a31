"""Batches of pairs say truly what they show."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from numbered_packs import numbered_pack

from epimesh.cameras import RING, Cameras
from epimesh.errors import BadInput
from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import render_mesh
from epimesh.training.data.pack_data import PackData, PackPairs, ViewBatch, fold_of, on_white, packs_in


def batches(folders: list[Path], count: int, ring_photos: float = 0.5, seed: int = 0) -> list[ViewBatch]:
    pairs = PackPairs([packs_in(folder) for folder in folders], 16, ring_photos, seed)
    return list(itertools.islice(pairs, count))


def test_the_turn_leads_from_the_photo_to_the_target_and_is_negated_where_both_are_mirrored(numbered: Path) -> None:
    azimuth_index, elevation_deg = numbered_pack("any").azimuth_index, numbered_pack("any").elevation_deg
    seen = {False: 0, True: 0}
    for batch in batches([numbered], 10):
        for item in range(16):
            mirrored = bool(batch.mirrored[item])
            column = -1 if mirrored else 0
            photo, target = (int(image[item, 0, 0, column]) for image in (batch.photo, batch.target))
            turn = int(azimuth_index[target] - azimuth_index[photo]) % RING
            assert int(batch.turn[item]) == (-turn % RING if mirrored else turn)
            assert float(batch.elevation_deg[item]) == float(elevation_deg[photo])
            assert target < RING
            seen[mirrored] += 1
    assert min(seen.values()) > 50


def test_mirrored_images_with_the_turn_negated_show_the_mirrored_object() -> None:
    corners = torch.tensor([[0.4, 0.0, -0.3], [-0.2, 0.4, -0.3], [-0.3, -0.2, -0.3], [0.1, 0.1, 0.4]])
    thing = Mesh(corners, torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]]), vertex_rgb=torch.rand(4, 3))
    mirrored = replace(thing, vertices=corners * torch.tensor([1.0, -1, 1]), faces=thing.faces.flip(1))
    turns = torch.tensor([0.0, 5.0]) * 22.5
    cameras, back = (Cameras.on_sphere(sign * turns, torch.full((2,), 30.0), size=40) for sign in (1, -1))
    flipped = render_mesh(thing, cameras).rgb.flip(-1)
    assert float((flipped - render_mesh(mirrored, back).rgb).abs().mean()) < 0.002
    assert float((flipped - render_mesh(mirrored, cameras).rgb).abs().mean()) > 0.02


def test_folds_go_by_family(numbered: Path) -> None:
    families = [path.stem for path in packs_in(numbered)]
    assert {fold_of(family) for family in families} == {0, 1}
    folds: dict[int, set[int]] = {}
    marks = {}
    for number, family in enumerate(families):
        pack = numbered_pack(family, family)
        pack.rgba[:, 1] = number
        pack.save(numbered / f"{family}.safetensors")
        marks[number] = fold_of(family)
    for batch in batches([numbered], 8):
        for item in range(16):
            folds.setdefault(int(batch.photo[item, 1, 0, 0]), set()).add(int(batch.fold[item]))
    assert folds == {number: {fold} for number, fold in marks.items()}


def test_every_folder_gives_an_equal_share_of_every_batch_however_many_packs_it_has(
    numbered: Path, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    pack = numbered_pack("lonely")
    pack.rgba[:, 2] = 77
    pack.save(tmp_path / "one" / "lonely.safetensors")
    for batch in batches([numbered, tmp_path / "one"], 3):
        assert int((batch.photo[:, 2, 0, 3] == 77).sum()) == 8


@pytest.mark.parametrize(("share", "low", "high"), [(1.0, 1, 1), (0.0, 0, 0), (0.3, 0.2, 0.4)])
def test_photos_come_from_the_ring_as_often_as_asked(numbered: Path, share: float, low: float, high: float) -> None:
    photos = torch.cat([batch.photo for batch in batches([numbered], 20, ring_photos=share)])
    numbers = photos[:, 0, 0].amax(-1)
    assert low <= float((numbers < RING).float().mean()) <= high


def test_the_same_seed_gives_the_same_batches_and_another_seed_others(numbered: Path) -> None:
    first, again, other = (batches([numbered], 2, seed=seed)[1] for seed in (4, 4, 5))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first.photo, other.photo)


def test_empty_becomes_white_and_half_covered_stays_half_coloured() -> None:
    rgba = torch.tensor([[0, 0, 0, 0], [100, 0, 50, 255], [100, 0, 0, 128]], dtype=torch.uint8)[:, :, None, None]
    expected = torch.tensor([[255, 255, 255, 0], [100, 0, 50, 255], [227, 127, 127, 128]]) / 255
    torch.testing.assert_close(on_white(rgba)[..., 0, 0], expected)


def test_a_folder_with_a_single_object_of_another_split_is_refused_by_name(numbered: Path) -> None:
    numbered_pack("vase", split="test").save(numbered / "vase.safetensors")
    with pytest.raises(BadInput, match=r"vase\.safetensors is of split 'test'.*\n.*never train"):
        PackData([str(numbered)]).groups()
    assert [path.stem for path in packs_in_split(numbered, "test")] == ["vase"]


def packs_in_split(folder: Path, split: str) -> list[Path]:
    """The packs of one split, alone in a folder."""
    alone = folder / split
    alone.mkdir()
    for path in folder.glob("vase.*"):
        path.rename(alone / path.name)
    return packs_in(alone, split)


def test_folders_without_packs_and_damaged_packs_are_refused(numbered: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="epimesh render"):
        packs_in(tmp_path / "nothing")
    pack = numbered / "cups.safetensors"
    pack.write_bytes(pack.read_bytes()[:100])
    with pytest.raises(BadInput, match=r"cups\.safetensors is not a pack"):
        packs_in(numbered)


def test_the_module_hands_out_the_stream(rendered: Path) -> None:
    data = PackData([str(rendered)], batch=4)
    batch = next(iter(data.train_dataloader()))
    assert batch.photo.shape == batch.target.shape == (4, 4, 64, 64)
    assert int(batch.photo[:, 3].max()) == 255
