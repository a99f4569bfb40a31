"""Objects of many materials keep the colours that their files state, in one mesh with one texture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from epimesh.data.glb_parts import read_parts
from epimesh.data.objects import load_object
from epimesh.data.one_texture import ATLAS_SIDE, joined
from epimesh.errors import BadInput
from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import surface_color

Material = trimesh.visual.material.PBRMaterial


def gradient(size: int, blue: int) -> Image.Image:
    """Red grows to the right, green downwards."""
    ramp = np.linspace(0, 255, size)
    picture = np.stack([*np.meshgrid(ramp, ramp), np.full((size, size), blue)], axis=-1)
    return Image.fromarray(picture.astype(np.uint8))


def box(material: Any, place: float, repeats: float = 1.0, first: float = 0.0) -> trimesh.Trimesh:
    shape = trimesh.creation.box().subdivide().apply_translation([place, 0, 0])
    uv = (shape.vertices[:, :2] - shape.vertices[:, :2].min(0)) * repeats + first
    shape.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return shape


def painted(color: tuple[int, int, int], place: float) -> trimesh.Trimesh:
    shape = trimesh.creation.box().apply_translation([place, 0, 0])
    shape.visual.vertex_colors = np.tile([*color, 255], (8, 1))
    return shape


def written(path: Path, *shapes: trimesh.Trimesh) -> Path:
    path.write_bytes(trimesh.Scene(list(shapes)).export(file_type="glb"))
    return path


def colors_on(mesh: Mesh, faces: slice = slice(None)) -> torch.Tensor:
    """Colours at three points of every triangle."""
    index = torch.arange(len(mesh.faces))[faces].repeat_interleave(3)
    weights = torch.tensor([[0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.2, 0.2, 0.6]]).repeat(len(index) // 3, 1)
    return surface_color(mesh, index, weights)


def test_every_part_of_the_joined_mesh_has_the_colours_it_had_alone(tmp_path: Path) -> None:
    path = written(
        tmp_path / "object.glb",
        box(Material(baseColorTexture=gradient(64, 0)), 0, repeats=0.8, first=0.1),
        box(Material(baseColorTexture=gradient(64, 255)), 2, repeats=2.5),
        box(Material(baseColorFactor=[200, 30, 60, 255]), 4),
        painted((40, 250, 90), 6),
    )
    parts, mesh, start = read_parts(path), load_object(path), 0
    order = sorted(range(len(parts)), key=lambda index: parts[index].texture is None)  # pictures first
    for part in (parts[index] for index in order):
        together = colors_on(mesh, slice(start, start + len(part.faces)))
        difference = (together - colors_on(part)).abs()
        # Where a picture repeats, bilinear sampling mixes its two sides within a pixel; in its cell it does not.
        assert (difference < 0.02).float().mean() > 0.85
        start += len(part.faces)
    assert start == len(mesh.faces)
    assert mesh.texture is not None
    assert max(mesh.texture.shape) <= ATLAS_SIDE


def test_pictures_that_repeat_beyond_the_limit_stay_on_their_own_part(tmp_path: Path) -> None:
    path = written(
        tmp_path / "object.glb",
        box(Material(baseColorTexture=Image.new("RGB", (32, 32), (255, 0, 0))), 0, repeats=50, first=-20),
        box(Material(baseColorTexture=Image.new("RGB", (32, 32), (0, 0, 255))), 2),
    )
    colors, faces = colors_on(load_object(path)), len(read_parts(path)[0].faces)
    first, second = colors[: 3 * faces], colors[3 * faces :]
    assert {tuple(part.unique(dim=0)[0].tolist()) for part in (first, second)} == {(1.0, 0.0, 0.0), (0.0, 0.0, 1.0)}
    assert len(first.unique(dim=0)) == len(second.unique(dim=0)) == 1


def test_a_single_picture_is_left_as_it_is_whatever_its_coordinates(tmp_path: Path) -> None:
    picture = gradient(48, 100)
    mesh = load_object(written(tmp_path / "object.glb", box(Material(baseColorTexture=picture), 0, repeats=3)))
    assert mesh.texture is not None
    assert mesh.uv is not None
    assert torch.equal(mesh.texture, torch.from_numpy(np.array(picture)).float().permute(2, 0, 1) / 255)
    assert float(mesh.uv[:, 0].max()) == 3


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (painted((0, 255, 0), 0), [0.0, 1.0, 0.0]),
        (painted((55, 55, 55), 0), [0.5, 0.5, 0.5]),  # linear .216 is the middle grey of sRGB
        (box(Material(baseColorFactor=[255, 0, 55, 255]), 0), [1.0, 0.0, 0.5]),
        (box(Material(), 0), [1.0, 1.0, 1.0]),  # glTF's default
    ],
    ids=["colour per vertex", "linear grey per vertex", "factor", "no colour stated"],
)
def test_objects_without_a_picture_have_the_colour_of_their_material(
    tmp_path: Path, shape: trimesh.Trimesh, expected: list[float]
) -> None:
    colors = colors_on(load_object(written(tmp_path / "object.glb", shape)))
    torch.testing.assert_close(colors, torch.tensor(expected).expand_as(colors), atol=0.005, rtol=0)


def test_a_factor_darkens_a_picture_in_linear_light(tmp_path: Path) -> None:
    grey = Material(baseColorTexture=Image.new("RGB", (8, 8), (255, 255, 255)), baseColorFactor=[55, 55, 55, 255])
    colors = colors_on(load_object(written(tmp_path / "object.glb", box(grey, 0))))
    torch.testing.assert_close(colors, torch.full_like(colors, 0.5), atol=0.005, rtol=0)


def test_parts_stand_where_the_scene_puts_them(tmp_path: Path) -> None:
    scene, shape = trimesh.Scene(), painted((0, 0, 255), 0)
    for place in (-3.0, 5.0):
        scene.add_geometry(shape, transform=trimesh.transformations.translation_matrix([0, place, 0]))
    (tmp_path / "twice.glb").write_bytes(scene.export(file_type="glb"))
    mesh = load_object(tmp_path / "twice.glb")
    assert (float(mesh.vertices[:, 1].min()), float(mesh.vertices[:, 1].max())) == (-3.5, 5.5)
    assert len(mesh.faces) == 24


def test_a_picture_that_many_parts_share_is_read_once(tmp_path: Path) -> None:
    material = Material(baseColorTexture=gradient(64, 0))
    scene = trimesh.Scene([box(material, 0), box(material, 2)])
    for place in (4, 6):
        scene.add_geometry(box(material, place))
    (tmp_path / "object.glb").write_bytes(scene.export(file_type="glb"))
    assert len({id(part.texture) for part in read_parts(tmp_path / "object.glb")}) == 1
    mesh = load_object(tmp_path / "object.glb")
    assert mesh.texture is not None
    assert mesh.texture.shape == (3, 64, 64)


def test_a_mirrored_part_still_faces_outwards(tmp_path: Path) -> None:
    scene, shape = trimesh.Scene(), painted((0, 0, 255), 0)
    scene.add_geometry(shape)
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    mirror[0, 3] = 3
    scene.add_geometry(shape, transform=mirror)
    (tmp_path / "object.glb").write_bytes(scene.export(file_type="glb"))
    mesh = load_object(tmp_path / "object.glb")
    assert trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy()).volume == pytest.approx(2.0)


def test_a_hundred_materials_fit_into_one_picture(tmp_path: Path) -> None:
    shapes = [box(Material(baseColorTexture=gradient(256, number)), 2.0 * number) for number in range(100)]
    mesh = load_object(written(tmp_path / "object.glb", *shapes))
    assert mesh.texture is not None
    assert max(mesh.texture.shape) <= ATLAS_SIDE
    blue = colors_on(mesh)[:, 2].reshape(100, -1).mean(1) * 255
    assert sorted(blue.round().int().tolist()) == list(range(100))


def test_one_part_alone_is_not_changed(tmp_path: Path) -> None:
    (part,) = read_parts(written(tmp_path / "object.glb", box(Material(baseColorTexture=gradient(16, 9)), 0)))
    assert joined([part]) is part


def test_a_file_without_triangles_is_refused(tmp_path: Path) -> None:
    scene = trimesh.Scene([trimesh.PointCloud([[0, 0, 0], [1, 1, 1]])])
    (tmp_path / "points.glb").write_bytes(scene.export(file_type="glb"))
    with pytest.raises(BadInput, match="0 triangles"):
        load_object(tmp_path / "points.glb")
