"""Mesh files as other programs see them. The judges are Khronos' validator, trimesh, Open3D and Pixar's library."""

import json
import shutil
import signal
import struct
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from epimesh.cameras import Cameras
from epimesh.errors import BadInput, MissingExtra, StageFailed
from epimesh.files.meshes import FORMATS, READABLE, check_formats, read_mesh, write_mesh
from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import import_open3d, render_mesh

VALIDATOR = Path(__file__).parent.parent / "node_modules" / "gltf-validator"
JUDGE = """
const validator = require(process.argv[1]), fs = require('fs');
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[2])), {maxIssues: 100})
  .then(report => console.log(JSON.stringify(report.issues)));
"""
RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def signpost() -> Mesh:
    """A box with a red front (+x), a green left side (+y), a blue top (+z) and grey elsewhere, longest along z.

    Every side has vertices of its own, and a tile in the texture of which one half is darker: the front's upper one.
    """
    half = torch.tensor([0.2, 0.3, 0.5])
    colors = [RED, (0.5, 0.5, 0.5), GREEN, (0.6, 0.6, 0.6), BLUE, (0.7, 0.7, 0.7)]
    vertices, uv, faces, texture = [], [], [], torch.zeros(3, 32, 6 * 32)
    for side, color in enumerate(colors):
        axis, sign = side // 2, 1 - 2 * (side % 2)
        right = (axis + 1) % 3
        above = (axis + 2) % 3
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
            corner = torch.zeros(3)
            corner[axis], corner[right], corner[above] = sign, a * sign, b
            vertices.append(corner * half)
            uv.append([(side + 0.5 + 0.4 * a) / 6, 0.5 - 0.4 * b])
        faces += [[4 * side + i for i in triangle] for triangle in ((0, 1, 2), (0, 2, 3))]
        tile = torch.tensor(color)[:, None, None] * torch.ones(3, 32, 32)
        tile[:, :16] *= 0.8
        texture[:, :, 32 * side : 32 * side + 32] = tile
    texture = (texture * 255).round() / 255
    return Mesh(torch.stack(vertices), torch.tensor(faces), torch.tensor(uv), texture)


def ball_of_colors() -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions=2, radius=0.5)
    vertices = torch.from_numpy(np.array(sphere.vertices)).float()
    return Mesh(vertices, torch.from_numpy(np.array(sphere.faces)).long(), vertex_rgb=vertices + 0.5)


def picture(mesh: Mesh) -> torch.Tensor:
    """Front, left and a view from above."""
    return render_mesh(mesh, Cameras.on_sphere(torch.tensor([0.0, 90, 200]), torch.tensor([0.0, 0, 50]), size=64)).rgb


def document(path: Path) -> dict:
    content = path.read_bytes()
    (length,) = struct.unpack_from("<I", content, 12)
    return json.loads(content[20 : 20 + length])


def issues(path: Path) -> dict:
    if shutil.which("node") is None:
        pytest.skip("Khronos' glTF validator needs Node.js")
    if not VALIDATOR.is_dir():
        pytest.skip("no glTF validator: run `npm install --prefix tests`")
    ran = subprocess.run(
        ["node", "-e", JUDGE, str(VALIDATOR), str(path)], capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(ran.stdout)


def test_the_box_of_these_tests_is_what_it_says() -> None:
    mesh = signpost()
    assert (mesh.face_normals() * mesh.vertices[mesh.faces].mean(1)).sum(-1).min() > 0  # outward
    front, left, _ = picture(mesh)
    torch.testing.assert_close(front[:, 40, 32], torch.tensor(RED))
    torch.testing.assert_close(left[:, 40, 38], torch.tensor(GREEN))
    assert front[0, 20, 32] == pytest.approx(0.8, abs=0.01)  # the upper half is darker


def untextured() -> Mesh:
    return replace(ball_of_colors(), vertex_rgb=None)


def with_a_flat_triangle() -> Mesh:
    mesh = signpost()
    extra = torch.tensor([[0, 1, 1]]), torch.tensor([[0.1, 0.1, 0.1]])  # and a vertex that no triangle uses
    uv = torch.cat([mesh.uv, torch.zeros(1, 2)]) if mesh.uv is not None else None
    return Mesh(torch.cat([mesh.vertices, extra[1]]), torch.cat([mesh.faces, extra[0]]), uv, mesh.texture)


@pytest.mark.parametrize("make", [signpost, ball_of_colors, untextured, with_a_flat_triangle])
def test_khronos_validator_finds_no_errors_and_no_warnings(make, tmp_path: Path) -> None:
    write_mesh(make(), tmp_path / "mesh.glb")
    found = issues(tmp_path / "mesh.glb")
    assert (found["numErrors"], found["numWarnings"]) == (0, 0), found["messages"]


def test_normals_are_unit_length_even_where_there_is_no_area() -> None:
    tiny = replace(ball_of_colors(), vertices=ball_of_colors().vertices * 1e-12)
    for mesh in (ball_of_colors(), with_a_flat_triangle(), tiny):
        normals = mesh.vertex_normals()
        torch.testing.assert_close(normals.norm(dim=-1), torch.ones(len(normals)))
    outward = torch.nn.functional.normalize(tiny.vertices * 1e12, dim=-1)
    assert (tiny.vertex_normals() * outward).sum(-1).min() > 0.99


def test_the_validator_is_awake(tmp_path: Path) -> None:
    write_mesh(signpost(), tmp_path / "mesh.glb")
    content = bytearray((tmp_path / "mesh.glb").read_bytes())
    (length,) = struct.unpack_from("<I", content, 12)
    struct.pack_into("<f", content, 20 + length + 8, 99.0)  # the first position leaves the stated bounds
    (tmp_path / "mesh.glb").write_bytes(content)
    assert issues(tmp_path / "mesh.glb")["numErrors"] > 0


def test_a_glb_is_one_opaque_one_sided_rough_mesh_with_its_texture_inside(tmp_path: Path) -> None:
    write_mesh(signpost(), tmp_path / "mesh.glb")
    found = document(tmp_path / "mesh.glb")
    ((primitive,),) = [mesh["primitives"] for mesh in found["meshes"]]
    assert set(primitive["attributes"]) == {"POSITION", "NORMAL", "TEXCOORD_0"}
    (material,) = found["materials"]
    assert material["alphaMode"] == "OPAQUE"
    assert not material["doubleSided"]
    surface = material["pbrMetallicRoughness"]
    assert (surface["metallicFactor"], surface["roughnessFactor"]) == (0, 1)
    assert "uri" not in found["images"][surface["baseColorTexture"]["index"]]
    assert "extensionsUsed" not in found  # every viewer can open it


@pytest.mark.parametrize("suffix", ["glb", "obj"])
def test_front_looks_along_z_and_up_is_y_in_glb_and_obj(suffix: str, tmp_path: Path) -> None:
    write_mesh(signpost(), tmp_path / f"mesh.{suffix}")
    found = trimesh.load(tmp_path / f"mesh.{suffix}", force="mesh", process=False)
    np.testing.assert_allclose(found.extents, [0.6, 1.0, 0.4], atol=1e-6)  # left-right, up, depth; metres
    colors = np.array(found.visual.to_color().vertex_colors)[found.faces][..., :3].mean(1)
    towards = {
        color: found.face_normals[np.abs(colors - 255 * np.array(color)).sum(-1) < 60] for color in (RED, GREEN, BLUE)
    }
    np.testing.assert_allclose(towards[RED], [[0, 0, 1]] * 2, atol=1e-6)  # the front of the photo
    np.testing.assert_allclose(towards[GREEN], [[1, 0, 0]] * 2, atol=1e-6)
    np.testing.assert_allclose(towards[BLUE], [[0, 1, 0]] * 2, atol=1e-6)


@pytest.mark.parametrize(("suffix", "unit"), [("ply", 1.0), ("stl", 1000.0)])
def test_ply_and_stl_are_z_up_with_the_front_where_blender_puts_that_of_a_glb(
    suffix: str, unit: float, tmp_path: Path
) -> None:
    write_mesh(signpost(), tmp_path / f"mesh.{suffix}")
    found = import_open3d().io.read_triangle_mesh(str(tmp_path / f"mesh.{suffix}"))
    extent = np.array(found.get_axis_aligned_bounding_box().get_extent())
    np.testing.assert_allclose(extent / unit, [0.6, 0.4, 1.0], atol=1e-6)
    assert len(found.triangles) == 12
    if suffix == "ply":
        front = np.asarray(found.vertices)[:4, 1]
        np.testing.assert_allclose(front, -0.2, atol=1e-6)
        np.testing.assert_allclose(np.asarray(found.vertex_colors)[:2], [RED] * 2, atol=0.01)


@pytest.mark.parametrize("suffix", ["glb", "obj"])
def test_a_textured_mesh_comes_back_as_it_was(suffix: str, tmp_path: Path) -> None:
    mesh = signpost()
    write_mesh(mesh, tmp_path / f"mesh.{suffix}")
    back = read_mesh(tmp_path / f"mesh.{suffix}")
    assert back.texture is not None
    assert back.uv is not None
    assert mesh.uv is not None
    torch.testing.assert_close(back.texture, mesh.texture, atol=1e-6, rtol=0)  # PNG loses nothing
    torch.testing.assert_close(back.vertices[back.faces], mesh.vertices[mesh.faces], atol=1e-6, rtol=0)
    torch.testing.assert_close(back.uv[back.faces], mesh.uv[mesh.faces], atol=1e-6, rtol=0)
    torch.testing.assert_close(picture(back), picture(mesh), atol=2e-3, rtol=0)


@pytest.mark.parametrize("suffix", ["glb", "obj", "ply"])
def test_colors_of_vertices_come_back(suffix: str, tmp_path: Path) -> None:
    mesh = ball_of_colors()
    write_mesh(mesh, tmp_path / f"ball.{suffix}")
    back = read_mesh(tmp_path / f"ball.{suffix}")
    assert back.vertex_rgb is not None
    torch.testing.assert_close(back.vertex_rgb, mesh.vertex_rgb, atol=2.1e-3, rtol=0)  # PLY: half of 1/255


@pytest.mark.parametrize("suffix", READABLE)
def test_every_format_shows_the_same_shape_again(suffix: str, tmp_path: Path) -> None:
    mesh = ball_of_colors()
    write_mesh(mesh, tmp_path / f"ball.{suffix}")
    back = read_mesh(tmp_path / f"ball.{suffix}")
    torch.testing.assert_close(back.vertices[back.faces], mesh.vertices[mesh.faces], atol=1e-6, rtol=0)


def test_obj_names_files_that_lie_beside_it_even_with_spaces_in_its_name(tmp_path: Path) -> None:
    write_mesh(signpost(), tmp_path / "my chair.obj")
    material = next(line for line in (tmp_path / "my chair.obj").read_text().splitlines() if "mtllib" in line).split()
    assert len(material) == 2
    texture = next(line for line in (tmp_path / material[1]).read_text().splitlines() if "map_Kd" in line).split()
    assert len(texture) == 2
    assert Image.open(tmp_path / texture[1]).size == (6 * 32, 32)


def test_the_same_mesh_gives_the_same_bytes(tmp_path: Path) -> None:
    for suffix in ("glb", "gltf", "obj", "ply", "stl", "3mf", *(("usdz",) if find_spec("pxr") else ())):
        write_mesh(signpost(), tmp_path / f"a.{suffix}")
        once = (tmp_path / f"a.{suffix}").read_bytes()
        write_mesh(signpost(), tmp_path / f"a.{suffix}")
        assert (tmp_path / f"a.{suffix}").read_bytes() == once


def test_usd_is_y_up_in_metres_and_shows_its_texture(tmp_path: Path) -> None:
    pytest.importorskip("pxr", reason="USD needs the extra epimesh[usd]")
    from pxr import Usd, UsdGeom, UsdShade

    write_mesh(signpost(), tmp_path / "my mesh.usd")
    stage = Usd.Stage.Open(str(tmp_path / "my mesh.usd"))
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    shape = UsdGeom.Mesh(stage.GetPrimAtPath("/my_mesh/my_mesh"))
    points = np.array(shape.GetPointsAttr().Get())
    np.testing.assert_allclose(np.ptp(points, axis=0), [0.6, 1.0, 0.4], atol=1e-6)
    np.testing.assert_allclose(points[:4, 2], 0.2, atol=1e-6)  # the front's four vertices
    st = np.array(UsdGeom.PrimvarsAPI(shape).GetPrimvar("st").Get())
    assert st[0, 1] < 0.5 < st[2, 1]  # v counts from the lower edge: the front's upper corners lie high
    material, _ = UsdShade.MaterialBindingAPI(shape.GetPrim()).ComputeBoundMaterial()
    assert material
    texture = UsdShade.Shader(stage.GetPrimAtPath("/my_mesh/surface/texture")).GetInput("file").Get()
    assert Path(texture.resolvedPath).is_file()


def test_without_pixars_library_usd_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pxr", None)  # what Python does for a package that is not there
    for suffix in ("usd", "usdz"):
        with pytest.raises(MissingExtra, match=r"epimesh\[usd\]"):
            write_mesh(signpost(), tmp_path / f"mesh.{suffix}")
        with pytest.raises(MissingExtra, match=r"epimesh\[usd\]"):
            check_formats(["glb", suffix])
    assert not list(tmp_path.iterdir())


def test_only_closed_meshes_of_negative_volume_are_inside_out() -> None:
    ball = ball_of_colors()
    turned = ball.faces.flip(1)
    cavity = Mesh(torch.cat([ball.vertices, 0.5 * ball.vertices]), torch.cat([ball.faces, turned + len(ball.vertices)]))
    both_sides = Mesh(torch.eye(3), torch.tensor([[0, 1, 2], [2, 1, 0]]))
    assert replace(ball, faces=turned).is_inside_out()
    assert replace(ball, faces=turned, vertices=ball.vertices * 1e-3 + 50).is_inside_out()
    assert not ball.is_inside_out()
    assert not replace(ball, faces=turned[1:]).is_inside_out()
    assert not cavity.is_inside_out()
    assert not both_sides.is_inside_out()


@pytest.mark.parametrize("suffix", ["glb", "obj", "ply", "stl"])
def test_meshes_that_are_none_are_refused_and_nothing_is_written(suffix: str, tmp_path: Path) -> None:
    mesh = signpost()
    lost = mesh.vertices.clone()
    lost[3, 1] = torch.nan
    wrong = {
        "no triangles": replace(mesh, faces=mesh.faces[:0]),
        "1 of 24 vertices": replace(mesh, vertices=lost),
        "outside of 0 to 23": replace(mesh, faces=mesh.faces + 1),
        "no texture coordinates": replace(mesh, uv=None),
        "face inwards": replace(mesh, faces=mesh.faces.flip(1)),
    }
    for message, unusable in wrong.items():
        with pytest.raises(StageFailed, match=message):
            write_mesh(unusable, tmp_path / f"mesh.{suffix}")
    assert not list(tmp_path.iterdir())


def test_an_unknown_suffix_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="glb, gltf, obj, ply, stl, 3mf, usd, usdz"):
        write_mesh(signpost(), tmp_path / "mesh.fbx")
    assert FORMATS == ("glb", "gltf", "obj", "ply", "stl", "3mf", "usd", "usdz")


@pytest.mark.parametrize("suffix", ["glb", "obj"])
def test_a_place_that_cannot_be_written_is_named_and_keeps_what_it_had(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(BadInput, match="cannot be written"):
        write_mesh(signpost(), tmp_path / "file" / f"mesh.{suffix}")
    (tmp_path / f"folder.{suffix}").mkdir()
    with pytest.raises(BadInput, match="cannot be written"):
        write_mesh(signpost(), tmp_path / f"folder.{suffix}")
    assert {path.name for path in tmp_path.iterdir()} == {"file", f"folder.{suffix}"}


def test_a_full_disk_leaves_the_old_file_and_nothing_half_written(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="file size limits stand in for a full disk; not on Windows")
    write_mesh(untextured(), tmp_path / "mesh.glb")
    before = (tmp_path / "mesh.glb").read_bytes()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(BadInput, match="free some space"):
            write_mesh(signpost(), tmp_path / "mesh.glb")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in tmp_path.iterdir()] == ["mesh.glb"]
    assert (tmp_path / "mesh.glb").read_bytes() == before


def test_damaged_missing_and_foreign_files_are_refused_with_a_reason(tmp_path: Path) -> None:
    write_mesh(signpost(), tmp_path / "half.glb")
    (tmp_path / "half.glb").write_bytes((tmp_path / "half.glb").read_bytes()[:600])
    (tmp_path / "empty.obj").write_text("# nothing\n")
    for name, message in {
        "half.glb": "cannot be read",
        "empty.obj": "cannot be read|holds 0 triangles",
        "absent.ply": "There is no file",
        "scene.blend": "Expected one of: glb, gltf, obj, ply, stl",
    }.items():
        with pytest.raises(BadInput, match=message):
            read_mesh(tmp_path / name)
