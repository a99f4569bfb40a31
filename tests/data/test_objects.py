from pathlib import Path

import pytest
import torch

from epimesh.cameras import Cameras
from epimesh.data.objects import load_object, read_manifest
from epimesh.errors import BadInput
from epimesh.rendering.rasterize import rasterize
from epimesh.rendering.ray_casting import UNLIT, render_mesh


def test_the_manifest_is_read_into_typed_records(objects: Path) -> None:
    records = read_manifest(objects, "train")
    assert [record.id for record in records] == ["plank_a", "plank_b", "broken"]
    assert [record.hard for record in records] == [False, True, False]
    assert records[0].attribution == "me, myself"
    assert records[0].path == objects / "glb" / "plank_a.glb"
    assert len(read_manifest(objects)) == 4


def test_a_missing_manifest_or_split_is_named(objects: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"manifest\.csv"):
        read_manifest(tmp_path / "nothing")
    with pytest.raises(BadInput, match="train, val"):
        read_manifest(objects, "test")


def test_a_broken_file_is_named(objects: Path) -> None:
    with pytest.raises(BadInput, match=r"broken\.glb"):
        load_object(objects / "glb" / "broken.glb")


@pytest.mark.parametrize("way", ["exact", "quick"])
def test_the_picture_on_an_object_is_upright_and_not_mirrored(objects: Path, way: str) -> None:
    mesh = load_object(objects / "glb" / "plank_a.glb")
    camera = Cameras.on_sphere(torch.tensor([0.0]), torch.tensor([0.0]), size=64)
    if way == "exact":
        image = render_mesh(mesh, camera, light=UNLIT, threads=1).rgb[0]
    else:
        image = rasterize(mesh, camera, UNLIT, 2).rgba[0, :3].float() / 255
    red, green, blue = image[:, 20, 40], image[:, 44, 40], image[:, 32, 14]
    torch.testing.assert_close(torch.stack([red, green, blue]), torch.eye(3), atol=0.02, rtol=0)


def test_no_near_duplicates_cross_the_splits_of_the_given_objects(shared: Path) -> None:
    records = read_manifest(shared / "data" / "objects")
    families = {split: {r.family for r in records if r.split == split} for split in ("train", "val", "test")}
    assert {split: sum(r.split == split for r in records) for split in families} == {
        "train": 2444,
        "val": 120,
        "test": 120,
    }
    assert not families["train"] & families["test"]
    assert not families["train"] & families["val"]
