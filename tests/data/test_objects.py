from pathlib import Path

import pytest
import torch

from epimesh.cameras import Cameras
from epimesh.cli import main
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


@pytest.mark.parametrize(
    "name", ["../../evil", "/evil", "a/b", "a\\b", "..", "", "a" * 300, "nul\0", "c:evil", "dots."]
)
def test_an_id_that_could_lead_a_file_out_of_its_folder_is_refused(objects: Path, name: str) -> None:
    manifest = objects / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("plank_a,", f"{name},"))
    with pytest.raises(BadInput, match=r"cannot name a file|cannot be read"):
        read_manifest(objects)


@pytest.mark.parametrize("file", ["../secret.glb", "/etc/passwd", "glb/bomb.zip", "glb/plank_a.glb/.."])
def test_a_file_outside_of_the_folder_or_of_another_kind_is_refused(objects: Path, file: str) -> None:
    manifest = objects / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("glb/plank_a.glb", file))
    with pytest.raises(BadInput, match="not a mesh below"):
        read_manifest(objects)


def test_manifests_of_windows_editors_are_read_and_short_lines_named(objects: Path) -> None:
    manifest = objects / "manifest.csv"
    text = manifest.read_text()
    manifest.write_bytes(text.encode("utf-16"))
    assert len(read_manifest(objects)) == 4
    manifest.write_text(text + "lonely\n")
    with pytest.raises(BadInput, match="Line 6"):
        read_manifest(objects)


def test_rendering_writes_nothing_outside_of_its_folder(objects: Path, tmp_path: Path) -> None:
    manifest = objects / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("plank_a,", "../../evil,"))
    before = sorted(tmp_path.parent.rglob("*evil*"))
    assert main(["render", str(objects), str(tmp_path / "out"), "--processes", "1"]) == 2
    assert sorted(tmp_path.parent.rglob("*evil*")) == before
