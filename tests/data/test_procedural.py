import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from epimesh.data.procedural.assembly import packed
from epimesh.data.procedural.bank import SIZE, texture_bank
from epimesh.data.procedural.blending import Limb, blended
from epimesh.data.procedural.colors import draw_palette, real_palettes
from epimesh.data.procedural.generate import FAMILIES, Family, family_of, generate, stream
from epimesh.data.procedural.parts import Part
from epimesh.data.procedural.shapes import Section, box, cylinder, superquadric
from epimesh.data.procedural.solids import extruded, without
from epimesh.data.procedural.sweeps import Cuts, loft, ring, tube
from epimesh.errors import MissingExtra
from epimesh.mesh import Mesh

DIGEST = """
import hashlib, sys
from epimesh.data.procedural.generate import generate
for index in range(5):
    mesh = generate(3, index)
    assert mesh.uv is not None and mesh.texture is not None
    print(hashlib.sha256(b"".join(t.numpy().tobytes() for t in (mesh.vertices, mesh.uv, mesh.texture))).hexdigest())
"""


def digest(mesh: Mesh) -> str:
    assert mesh.uv is not None
    assert mesh.texture is not None
    return hashlib.sha256(b"".join(t.numpy().tobytes() for t in (mesh.vertices, mesh.uv, mesh.texture))).hexdigest()


def volume(part: Part) -> float:
    """By the divergence theorem: positive when the triangles face outwards."""
    a, b, c = (part.vertices[part.faces[:, k]] for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_kind_of_object_fills_the_unit_cube_with_finite_triangles(family: Family) -> None:
    for index in range(20):
        mesh = generate(11, index, family=family)
        assert 10 <= len(mesh.faces) <= 20_000
        assert mesh.vertices.isfinite().all()
        size = mesh.vertices.amax(0) - mesh.vertices.amin(0)
        torch.testing.assert_close(size.amax(), torch.tensor(1.0), atol=1e-5, rtol=0)
        assert mesh.vertices.abs().amax() <= 0.5 + 1e-5
        assert mesh.texture is not None
        assert mesh.texture.shape[2] == SIZE
        assert mesh.uv is not None
        assert mesh.uv.isfinite().all()
        assert mesh.uv[:, 1].amin() >= 0
        assert mesh.uv[:, 1].amax() <= 1


def test_no_generator_needs_a_second_draw() -> None:
    for family in FAMILIES:
        for index in range(20):
            assert all(len(part.faces) for part in family.make(stream(13, index)))


def test_a_generator_that_fails_is_replaced_by_something_drawable() -> None:
    def unlucky(dice: object) -> list[Part]:
        raise ZeroDivisionError

    mesh = generate(0, 0, family=Family("unlucky", unlucky, 1.0))  # type: ignore[arg-type]
    assert len(mesh.faces) > 100


def test_a_missing_manifold3d_is_named_and_not_hidden_by_another_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "manifold3d", None)
    buildings = next(family for family in FAMILIES if family.name == "buildings")
    with pytest.raises(MissingExtra, match=r"epimesh\[objects\]"):
        [generate(0, index, family=buildings) for index in range(10)]


def test_the_same_number_gives_the_same_object_in_another_process() -> None:
    shown = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == [digest(generate(3, index)) for index in range(5)]


def test_other_numbers_give_other_objects() -> None:
    assert len({digest(generate(seed, index)) for seed in (0, 1) for index in range(5)}) == 10


def test_every_kind_comes_up_as_often_as_it_should() -> None:
    names = [family_of(0, index).name for index in range(1500)]
    total = sum(family.share for family in FAMILIES)
    assert len(FAMILIES) == 16
    for family in FAMILIES:
        assert names.count(family.name) / 1500 == pytest.approx(family.share / total, abs=0.03)
        assert family.name in names


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (box(1, 2, 3, role="a"), 6.0),
        (cylinder(1, 2, role="a", section=Section(segments=200)), 2 * np.pi),
        (superquadric((1, 1, 0.5), role="a", steps=60), np.pi * 2 / 3),
        (ring(1, 0.3, role="a", sides=40), 2 * np.pi**2 * 0.09),
        (tube(np.array([[0, 0, 0], [0, 0, 2.0]]), 0.5, role="a", sides=80), np.pi / 2),
        (loft(Cuts(np.linspace(0, 2, 9), 0.5, 0.5, 0.5), role="a", segments=80), np.pi / 2),
        (extruded([np.array([[0.0, 0], [2, 0], [0, 2]])], 0.5, role="a"), 1.0),
        (blended([Limb((0, 0, 0), (0, 0, 1e-3), 1, 1, "a")], 0.1, cells=60)[0], np.pi * 4 / 3),
        (without(box(2, 2, 2, role="a"), [box(1, 1, 4, role="b")]), 6.0),
        (box(1, 2, 3, role="a").mirrored(), 6.0),
        (box(1, 2, 3, role="a").turned("y", 1.0).moved(4, 5, 6), 6.0),
    ],
    ids=["box", "cylinder", "ellipsoid", "ring", "tube", "loft", "extruded", "blended", "cut", "mirrored", "turned"],
)
def test_solids_face_outwards_and_have_their_volume(part: Part, expected: float) -> None:
    assert volume(part) == pytest.approx(expected, rel=0.03)


def test_turning_about_z_by_a_quarter_takes_x_to_y() -> None:
    turned = box(2, 0.2, 0.2, role="a").moved(1).turned("z", np.pi / 2)
    np.testing.assert_allclose(turned.high, [0.1, 2, 0.1], atol=1e-9)


def test_a_label_on_a_box_reads_upright_from_the_front() -> None:
    part = box(1, 1, 1, role="a", fitted=True)
    corners, uv = part.vertices[part.faces].reshape(-1, 3), part.uv.reshape(-1, 2)
    front = (part.vertices[part.faces][:, :, 1] < -0.49).all(1).repeat(3)
    np.testing.assert_allclose(uv[front, 0], corners[front, 0] + 0.5)  # seen from -y, +x is on the right
    np.testing.assert_allclose(uv[front, 1], 0.5 - corners[front, 2])  # v grows downwards


def test_packed_textures_look_up_the_same_colors_as_the_single_ones() -> None:
    random = np.random.default_rng(0)
    textures = [random.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8) for _ in range(3)]
    uv = random.uniform(-3, 3, (60, 1, 2)) + random.uniform(0, 1.5, (60, 3, 2))
    layer = np.arange(60) % 3
    atlas, placed = packed(textures, uv, layer)
    share = random.dirichlet(np.ones(3), 60)
    for k in range(60):
        u, v = share[k] @ uv[k]
        x, y = share[k] @ placed[k]
        expected = textures[layer[k]][int(v % 1 * SIZE), int(u % 1 * SIZE)]
        np.testing.assert_array_equal(atlas[int(y * len(atlas)), int(x % 1 * SIZE)], expected)


def test_noise_in_the_bank_repeats_without_a_seam() -> None:
    for image in texture_bank().noise[9:]:
        inside = np.abs(np.diff(image, axis=0)).mean()
        across = np.abs(image[0] - image[-1]).mean()
        assert across < 3 * inside


def test_palettes_are_many_and_of_real_objects() -> None:
    assert len(real_palettes()) > 300
    luminance = real_palettes().mean(-1)
    assert 30 < luminance.mean() < 200
    colors = np.concatenate([draw_palette(stream(0, index), 4) for index in range(50)])
    assert colors.min() >= 0
    assert colors.max() <= 1
    assert colors.std(0).min() > 0.15
