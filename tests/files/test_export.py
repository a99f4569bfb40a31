"""What people ask of a mesh file: its size in the world, where it stands, its name, how few bytes it takes."""

import io
import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from test_mesh_files import document, issues, picture, signpost

from epimesh.errors import BadInput, MissingExtra
from epimesh.files.meshes import ExportSettings, check_formats, metres_of, read_mesh, write_mesh
from epimesh.mesh import Mesh

PROGRAMS = Path(__file__).parent.parent / "node_modules" / ".bin"


@pytest.fixture
def _compressor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}")
    if shutil.which("gltf-transform") is None:
        pytest.skip("no gltf-transform: run `npm install --prefix tests`")


def finely_cut() -> Mesh:
    """A ball of 5120 triangles with a texture of noise, as large as what a photo becomes."""
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=0.5)
    vertices = torch.from_numpy(np.array(sphere.vertices)).float()
    noise = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    texture = torch.nn.functional.interpolate(noise[None], (256, 256), mode="bilinear")[0]
    return Mesh(vertices, torch.from_numpy(np.array(sphere.faces)).long(), vertices[:, :2] + 0.5, texture)


def test_the_object_inside_is_named_after_the_file(tmp_path: Path) -> None:
    write_mesh(signpost(), tmp_path / "my bird.glb")
    found = document(tmp_path / "my bird.glb")
    assert [node["name"] for node in found["nodes"]] == ["my bird"]
    assert [mesh["name"] for mesh in found["meshes"]] == ["my bird"]
    assert found["images"][0]["name"] == "my bird_texture"
    write_mesh(signpost(), tmp_path / "my bird.obj")
    assert "o my_bird" in (tmp_path / "my bird.obj").read_text().splitlines()


def test_on_the_ground_the_lowest_point_is_at_height_0_and_nothing_else_moves(tmp_path: Path) -> None:
    settings = ExportSettings(origin="ground")
    write_mesh(signpost(), tmp_path / "post.glb", settings)
    write_mesh(signpost(), tmp_path / "post.stl", settings)
    in_metres = trimesh.load(tmp_path / "post.glb", force="mesh").bounds
    np.testing.assert_allclose(in_metres, [[-0.3, 0, -0.2], [0.3, 1, 0.2]], atol=1e-6)
    np.testing.assert_allclose(trimesh.load(tmp_path / "post.stl").bounds[:, 2], [0, 1000], atol=1e-3)


def test_a_height_is_kept_in_every_format_and_printers_read_millimetres(tmp_path: Path) -> None:
    settings = ExportSettings(height=metres_of("120mm"))
    for suffix in ("glb", "ply", "stl", "obj"):
        write_mesh(signpost(), tmp_path / f"post.{suffix}", settings)
    assert trimesh.load(tmp_path / "post.glb", force="mesh").extents[1] == pytest.approx(0.12)
    assert trimesh.load(tmp_path / "post.obj", force="mesh").extents[1] == pytest.approx(0.12)
    assert trimesh.load(tmp_path / "post.ply").extents[2] == pytest.approx(0.12)
    assert trimesh.load(tmp_path / "post.stl").extents[2] == pytest.approx(120, abs=1e-3)


@pytest.mark.parametrize(("text", "metres"), [("120mm", 0.12), ("12 cm", 0.12), ("0.5m", 0.5), ("5in", 0.127)])
def test_heights_are_read_with_their_unit(text: str, metres: float) -> None:
    assert metres_of(text) == pytest.approx(metres)


@pytest.mark.parametrize("text", ["120", "tall", "mm", "12 feet"])
def test_a_height_without_a_unit_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="--height 120mm"):
        metres_of(text)


@pytest.mark.parametrize("height", [0.0, -1.0, float("nan"), 1e9])
def test_a_height_that_nothing_has_is_refused(height: float) -> None:
    with pytest.raises(BadInput, match="The height is"):
        ExportSettings(height=height)


def test_3mf_is_a_closed_solid_in_millimetres_for_the_consortiums_own_reader(tmp_path: Path) -> None:
    lib3mf = pytest.importorskip("lib3mf", reason="the judge of 3MF: pip install lib3mf")
    write_mesh(signpost(), tmp_path / "a & b.3mf", ExportSettings(height=0.12))
    model = lib3mf.get_wrapper().CreateModel()
    reader = model.QueryReader("3mf")
    reader.SetStrictModeActive(True)
    reader.ReadFromFile(str(tmp_path / "a & b.3mf"))
    assert reader.GetWarningCount() == 0
    assert model.GetUnit() == lib3mf.ModelUnit.MilliMeter
    found = model.GetMeshObjects()
    assert found.MoveNext()
    mesh = found.GetCurrentMeshObject()
    assert mesh.GetName() == "a & b"
    assert (mesh.GetVertexCount(), mesh.GetTriangleCount()) == (8, 12)  # the seams of the texture are joined
    assert mesh.IsManifoldAndOriented()
    box = mesh.GetOutbox()
    np.testing.assert_allclose(np.array(box.MaxCoordinate) - np.array(box.MinCoordinate), [72, 48, 120], atol=1e-3)


def test_usdz_is_a_stored_zip_aligned_to_64_bytes_that_begins_with_its_layer(tmp_path: Path) -> None:
    pytest.importorskip("pxr", reason="USD needs the extra epimesh[usd]")
    write_mesh(signpost(), tmp_path / "my post.usdz")
    content = (tmp_path / "my post.usdz").read_bytes()
    entries = zipfile.ZipFile(io.BytesIO(content)).infolist()
    assert [entry.filename for entry in entries] == ["my_post.usdc", "my_post_texture.png"]
    for entry in entries:
        assert entry.compress_type == zipfile.ZIP_STORED
        name, extra = (int.from_bytes(content[entry.header_offset + at :][:2], "little") for at in (26, 28))
        assert (entry.header_offset + 30 + name + extra) % 64 == 0


def complaints(path: Path) -> list[str]:
    """What all of Pixar's validators, which are usdchecker, say of a file."""
    from pxr import Usd, UsdValidation

    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    found = UsdValidation.ValidationContext(validators).Validate(Usd.Stage.Open(str(path)))
    return [error.GetMessage() for error in found]


def test_pixars_checker_finds_nothing_in_a_usdz_and_is_awake(tmp_path: Path) -> None:
    pytest.importorskip("pxr", reason="USD needs the extra epimesh[usd]")
    write_mesh(signpost(), tmp_path / "post.usdz")
    assert complaints(tmp_path / "post.usdz") == []
    with zipfile.ZipFile(tmp_path / "post.usdz") as whole, zipfile.ZipFile(tmp_path / "wrong.usdz", "w") as wrong:
        for entry in whole.infolist():
            wrong.writestr(entry.filename, whole.read(entry))  # stored, but not aligned
    assert any("invalid offset" in complaint for complaint in complaints(tmp_path / "wrong.usdz"))


def test_gltf_is_valid_with_its_parts_beside_it_and_reads_back(tmp_path: Path) -> None:
    write_mesh(signpost(), tmp_path / "my post.gltf")
    assert {path.name for path in tmp_path.iterdir()} == {"my post.gltf", "my_post.bin", "my_post_texture.png"}
    back = read_mesh(tmp_path / "my post.gltf")
    torch.testing.assert_close(picture(back), picture(signpost()), atol=2e-3, rtol=0)
    content = json.loads((tmp_path / "my post.gltf").read_text())
    assert content["buffers"][0]["byteLength"] == (tmp_path / "my_post.bin").stat().st_size


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_small_textures_look_the_same_and_the_file_is_valid(kind: str, tmp_path: Path) -> None:
    mesh = finely_cut()
    write_mesh(mesh, tmp_path / "png.glb")
    write_mesh(mesh, tmp_path / "small.glb", ExportSettings(texture_format=kind))  # type: ignore[arg-type]
    found = issues(tmp_path / "small.glb")
    assert (found["numErrors"], found["numWarnings"]) == (0, 0), found["messages"]
    assert (tmp_path / "small.glb").stat().st_size < (tmp_path / "png.glb").stat().st_size
    header = document(tmp_path / "small.glb")
    view = header["bufferViews"][header["images"][0]["bufferView"]]
    content = (tmp_path / "small.glb").read_bytes()
    start = 28 + int.from_bytes(content[12:16], "little") + view["byteOffset"]
    shown = np.asarray(Image.open(io.BytesIO(content[start : start + view["byteLength"]])).convert("RGB")) / 255
    assert mesh.texture is not None
    assert np.abs(shown - mesh.texture.permute(1, 2, 0).numpy()).mean() < 0.02


@pytest.mark.usefixtures("_compressor")
@pytest.mark.parametrize(("how", "extension"), [("meshopt", "EXT_meshopt_compression"), ("draco", "KHR_draco_mesh")])
def test_compressed_geometry_is_several_times_smaller_and_keeps_its_name(
    how: str, extension: str, tmp_path: Path
) -> None:
    check_formats(["glb"], ExportSettings(compress=how))  # type: ignore[arg-type]
    write_mesh(finely_cut(), tmp_path / "ball.glb")
    write_mesh(finely_cut(), tmp_path / "small" / "ball.glb", ExportSettings(compress=how, texture_format="webp"))  # type: ignore[arg-type]
    found = document(tmp_path / "small" / "ball.glb")
    assert any(name.startswith(extension) for name in found["extensionsRequired"])
    assert "EXT_texture_webp" in found["extensionsUsed"]
    assert [node["name"] for node in found["nodes"]] == ["ball"]
    before, after = (path.stat().st_size for path in (tmp_path / "ball.glb", tmp_path / "small" / "ball.glb"))
    assert after < before / 3


def test_without_the_compressor_its_command_is_named_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = ExportSettings(compress="meshopt")
    with pytest.raises(MissingExtra, match="npm install --global @gltf-transform/cli"):
        check_formats(["glb"], settings)
    with pytest.raises(MissingExtra):
        write_mesh(signpost(), tmp_path / "post.glb", settings)
    assert not list(tmp_path.iterdir())


def test_a_flat_mesh_has_no_height_to_set() -> None:
    flat = replace(signpost(), vertices=signpost().vertices * torch.tensor([1.0, 1.0, 0.0]))
    with pytest.raises(BadInput, match="flat"):
        ExportSettings(height=0.1).placed(flat)
