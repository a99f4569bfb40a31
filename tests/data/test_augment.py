from pathlib import Path

import numpy as np
import pytest
import torch

from epimesh.cli.render import main
from epimesh.data.deform import bent, tapered, twisted, unit_sized
from epimesh.data.objects import read_manifest
from epimesh.data.packs.augment import LoadAugmented, augmented, augmented_records, composed, recolored
from epimesh.data.packs.view_pack import ViewPack
from epimesh.data.procedural.shapes import box
from epimesh.mesh import Mesh


def cube() -> Mesh:
    part = box(1, 1, 1, role="a", fitted=True)
    uv = torch.from_numpy(part.uv).float().reshape(-1, 2)
    vertices = torch.from_numpy(part.vertices[part.faces]).float().reshape(-1, 3)
    return Mesh(vertices, torch.arange(36).reshape(-1, 3), uv=uv, texture=torch.rand(3, 16, 16))


def volume(mesh: Mesh) -> float:
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def test_every_variation_is_of_unit_size_and_faces_outwards() -> None:
    for seed in range(40):
        mesh = augmented(cube(), np.random.default_rng(seed), cube())
        size = mesh.vertices.amax(0) - mesh.vertices.amin(0)
        torch.testing.assert_close(size.amax(), torch.tensor(1.0), atol=1e-5, rtol=0)
        assert volume(mesh) > 0.05
        assert mesh.texture is not None
        assert mesh.texture.amin() >= 0
        assert mesh.texture.amax() <= 1


def test_variations_differ_and_the_same_seed_gives_the_same_one() -> None:
    one, again, other = (augmented(cube(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.vertices, again.vertices)
    assert not torch.equal(one.vertices, other.vertices)


def test_recoloring_keeps_black_white_and_the_pattern() -> None:
    texture = torch.zeros(3, 4, 4)
    texture[0, :2] = 1
    changed = recolored(texture, np.random.default_rng(0))
    assert torch.equal(changed[:, 2:], texture[:, 2:])
    assert changed[:, 0].std(dim=-1).max() == 0
    assert changed[:, 0].max() > 0.3


def test_what_is_put_on_top_touches_what_is_below() -> None:
    for seed in range(10):
        pile = composed(cube(), cube(), np.random.default_rng(seed))
        below, above = pile.vertices[:36], pile.vertices[36:]
        assert float(above[:, 2].min()) == pytest.approx(float(below[:, 2].max()), abs=0.006)
        assert above[:, 2].max() - above[:, 2].min() < 0.81


def test_a_pile_keeps_both_textures() -> None:
    below, above = cube(), cube()
    below = Mesh(below.vertices, below.faces, uv=below.uv, texture=torch.zeros(3, 8, 8))
    above = Mesh(above.vertices, above.faces, uv=above.uv, texture=torch.ones(3, 8, 8))
    pile = composed(below, above, np.random.default_rng(0))
    assert pile.uv is not None
    assert pile.texture is not None
    rows = (pile.uv[:, 1] * pile.texture.shape[1]).long()
    columns = (pile.uv[:, 0] * pile.texture.shape[2]).long()
    colors = pile.texture[0, rows, columns]
    assert colors[:36].max() == 0
    assert colors[36:].min() == 1


@pytest.mark.parametrize("deform", [twisted, tapered, bent])
def test_deforming_by_nothing_changes_nothing(deform: object) -> None:
    torch.testing.assert_close(deform(cube().vertices, 0.0), cube().vertices)  # type: ignore[operator]


def test_deformations_do_what_they_say() -> None:
    top = cube().vertices[:, 2] > 0
    assert float(tapered(cube().vertices, -0.5)[top, 0].max()) == pytest.approx(0.25)
    assert float(bent(cube().vertices, 0.2)[top, 0].min()) == pytest.approx(-0.3)
    turned = twisted(cube().vertices, float(np.pi / 4))
    assert float(turned[top, 0].max()) == pytest.approx(np.sqrt(0.5), abs=1e-5)
    assert float(unit_sized(turned * 7 + 3).abs().max()) == pytest.approx(0.5)


def test_variations_of_a_folder_are_repeatable_and_keep_their_family(objects: Path) -> None:
    records = augmented_records(read_manifest(objects, "train")[:1], 2)
    assert [record.id for record in records] == ["plank_a_augmented_0", "plank_a_augmented_1"]
    (objects / "glb" / "broken.glb").write_bytes((objects / "glb" / "plank_b.glb").read_bytes())
    first, second = (LoadAugmented(objects)(record) for record in records)
    assert torch.equal(first.vertices, LoadAugmented(objects)(records[0]).vertices)
    assert not torch.equal(first.vertices, second.vertices)


def test_the_command_renders_variations(objects: Path, tmp_path: Path) -> None:
    (objects / "glb" / "broken.glb").write_bytes((objects / "glb" / "plank_b.glb").read_bytes())
    out = tmp_path / "out"
    arguments = [str(objects), str(out), "--augment", "1", "--realistic", "--size", "32", "--processes", "1"]
    assert main([*arguments, "--count", "2"]) == 0
    packs = [ViewPack.load(path) for path in sorted(out.glob("*.safetensors"))]
    assert [(pack.id, pack.family) for pack in packs] == [
        ("plank_a_augmented_0", "planks"),
        ("plank_b_augmented_0", "planks"),
    ]
