"""Pairs of any two views say truly what they show and where it was seen from."""

import itertools
from pathlib import Path

import pytest
import torch
from numbered_packs import numbered_pack

from epimesh.errors import BadInput
from epimesh.training.data.pack_data import packs_in
from epimesh.training.data.view_pairs import PackViewPairData, PackViewPairs, ViewPairs


def batches(folder: Path, count: int, ring_targets: float = 0.5, seed: int = 0) -> list[ViewPairs]:
    return list(itertools.islice(PackViewPairs([packs_in(folder)], 16, 0.5, ring_targets, seed), count))


def views_of(images: torch.Tensor) -> list[tuple[int, bool]]:
    """Which view of the numbered packs each image is, and whether it is mirrored."""
    columns = images[:, 0, 0, [0, -1]].int()
    return [(int(left + right), bool(right > left)) for left, right in columns]


def test_pairs_are_two_views_of_an_object_with_their_true_cameras(numbered: Path) -> None:
    azimuth_index, elevation_deg = numbered_pack("any").azimuth_index, numbered_pack("any").elevation_deg
    seen: set[tuple[bool, bool, bool]] = set()
    for batch in batches(numbered, 10):
        numbers = zip(views_of(batch.photo), views_of(batch.target), strict=True)
        for item, ((photo, mirrored), (target, also)) in enumerate(numbers):
            assert photo != target
            assert float(batch.photo_elevation_deg[item]) == float(elevation_deg[photo])
            assert float(batch.target_elevation_deg[item]) == float(elevation_deg[target])
            turn = 22.5 * float(azimuth_index[target] - azimuth_index[photo])
            if 0 not in (photo, target):  # view 0 looks the same mirrored
                assert mirrored == also
                assert float(batch.azimuth_deg[item]) == (-turn if mirrored else turn)
                seen.add((photo < 16, target < 16, mirrored))
    assert len(seen) == 8  # both kinds of photos with both kinds of targets, as they are and mirrored


def test_the_share_of_targets_on_the_ring_is_a_setting_and_the_seed_decides_the_rest(numbered: Path) -> None:
    assert all(view < 16 for batch in batches(numbered, 3, 1.0) for view, _ in views_of(batch.target))
    assert all(view >= 16 for batch in batches(numbered, 3, 0.0) for view, _ in views_of(batch.target))
    one, again, other = (batches(numbered, 1, seed=seed)[0] for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one.photo, other.photo)


def test_shares_that_are_none_are_refused(numbered: Path) -> None:
    assert next(iter(PackViewPairData([str(numbered)], batch=3).train_dataloader())).photo.shape[0] == 3
    with pytest.raises(BadInput, match="ring_targets 2"):
        PackViewPairData([str(numbered)], ring_targets=2.0)
