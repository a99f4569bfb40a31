"""Agreement of neighbouring views: the truth agrees, disturbed views do not, and nonsense is refused or told."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_stages
import torch
import trimesh
from known_shapes import ball

from epimesh.cameras import Cameras
from epimesh.cli import main
from epimesh.errors import BadInput
from epimesh.evaluation.metrics.consistency import consistency, neighbours, rerender_psnr, warp_psnr
from epimesh.evaluation.metrics.feature_matching import Matches, features, line_distance, matches
from epimesh.evaluation.metrics.visible import depth_maps
from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import render_mesh
from epimesh.views import Views

SIZE = 128


def speckled() -> Mesh:
    """A finely divided box with spots of random brightness, so that there is something to recognise."""
    whole = trimesh.creation.box([0.6, 0.8, 0.5])
    for _ in range(4):
        whole = whole.subdivide()
    random = torch.Generator().manual_seed(3)
    grey = torch.rand(len(whole.vertices), 1, generator=random).expand(-1, 3).clone()
    return Mesh(torch.tensor(whole.vertices).float(), torch.tensor(whole.faces).long(), vertex_rgb=grey)


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    return speckled()


@pytest.fixture(scope="module")
def truth(mesh: Mesh) -> Views:
    return render_mesh(mesh, Cameras.ring(size=SIZE), threads=1)


def shifted(views: Views, pixels: int) -> Views:
    """Every second view moved sideways."""
    rgb = views.rgb.clone()
    rgb[::2] = rgb[::2].roll(pixels, dims=-1)
    return replace(views, rgb=rgb)


def test_true_views_agree_better_than_disturbed_ones(truth: Views, mesh: Mesh) -> None:
    depth = depth_maps(mesh, truth.cameras, threads=1)
    right, wrong = consistency(truth, depth), consistency(shifted(truth, 6), depth)
    assert right.warp_psnr > wrong.warp_psnr + 10
    assert right.matches > 20
    assert right.reprojection_px < 1
    assert wrong.reprojection_px == pytest.approx(6, abs=0.5)


def test_views_of_one_colour_agree_perfectly_and_share_nothing(truth: Views, mesh: Mesh) -> None:
    plain = replace(truth, rgb=torch.full_like(truth.rgb, 0.5))
    found = consistency(plain, depth_maps(mesh, truth.cameras, threads=1))
    assert (found.warp_psnr, found.matches, found.reprojection_px) == (100, 0, None)


def test_a_colour_error_of_one_view_is_the_error_of_its_two_pairs(truth: Views, mesh: Mesh) -> None:
    """By hand: a tenth brighter is 20 dB where it is compared, and it is in two of sixteen pairs of equal size."""
    rgb = torch.full_like(truth.rgb, 0.5)
    rgb[3] += 0.1
    depth = depth_maps(ball(0.4), truth.cameras, threads=1)
    found = warp_psnr(replace(truth, rgb=rgb), depth)
    assert found == pytest.approx(20 + 10 * torch.log10(torch.tensor(8.0)).item(), abs=0.1)


def test_hidden_surfaces_and_the_background_are_not_compared(truth: Views) -> None:
    nothing = torch.full((16, SIZE, SIZE), torch.inf)
    assert warp_psnr(truth, nothing) is None
    apart = torch.full((16, SIZE, SIZE), 1.5)
    apart[::2] = 1.2  # neighbours never mean the same surface near the middle of the picture
    apart[:, :40], apart[:, 88:], apart[..., :40], apart[..., 88:] = (torch.inf,) * 4
    assert warp_psnr(truth, apart) is None


def test_neighbours_follow_in_azimuth_whatever_the_order_of_the_views(truth: Views) -> None:
    assert neighbours(truth)[-1] == (15, 0)
    mixed = truth[[2, 0, 1]]
    assert neighbours(mixed) == [(1, 2), (2, 0), (0, 1)]
    with pytest.raises(BadInput, match="at least two"):
        neighbours(truth[0])


def test_matches_lie_on_each_others_epipolar_lines(truth: Views) -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(50, 3, generator=generator) * 0.6 - 0.3
    first, second = truth.cameras[0], truth.cameras[1]
    here, there = first.project(points)[0][:, 0], second.project(points)[0][:, 0]
    assert line_distance(here, there, first, second).max() < 1e-2
    off = line_distance(here, there + torch.tensor([0.0, 5.0]), first, second)
    assert off.median() > 2
    known = features(truth.rgb[0])
    itself = matches(known, known, first, first)
    assert len(itself) == 0 or torch.equal(itself.first, itself.second)


def test_a_picture_of_nothing_has_no_features_and_no_matches(truth: Views) -> None:
    nothing = features(torch.ones(3, 64, 64))
    assert len(nothing.pixels) == 0
    found = matches(nothing, features(truth.rgb[0]), truth.cameras[0], truth.cameras[1])
    assert isinstance(found, Matches)
    assert len(found) == 0


def test_a_rerendering_that_repeats_the_views_is_perfect(truth: Views) -> None:
    assert rerender_psnr(truth, truth) == 100
    assert rerender_psnr(replace(truth, rgb=(truth.rgb + 0.1)), truth) == pytest.approx(20, abs=0.01)


def test_depth_of_another_size_is_refused(truth: Views) -> None:
    with pytest.raises(BadInput, match=r"shape \(16, 9, 9\)"):
        warp_psnr(truth, torch.ones(16, 9, 9))


@pytest.fixture
def folder(truth: Views, mesh: Mesh, tmp_path: Path) -> Path:
    truth.save(tmp_path / "views")
    replace(truth, depth=None).save(tmp_path / "flat")
    trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy()).export(tmp_path / "truth.ply")
    (tmp_path / "tiny.yaml").write_text(tiny_stages.PRESET)
    return tmp_path


def measured(folder: Path, capsys: pytest.CaptureFixture[str], views: str, *options: str) -> dict:
    command = ["eval", "consistency", str(folder / views), "--preset", str(folder / "tiny.yaml"), "--json"]
    assert main([*command, *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_one_command_measures_by_a_mesh_by_own_depth_and_by_a_reconstruction(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_mesh = measured(folder, capsys, "views", "--depth", str(folder / "truth.ply"))
    by_own = measured(folder, capsys, "views", "--depth", "own")
    assert by_own["warp_psnr"] == pytest.approx(by_mesh["warp_psnr"], abs=2)
    assert by_own["matches"] == by_mesh["matches"] > 5
    assert "rerender_psnr" not in by_mesh
    by_ball = measured(folder, capsys, "flat")  # a grey ball for a speckled box
    assert by_ball["depth"] == "reconstructed"
    assert by_ball["warp_psnr"] < by_mesh["warp_psnr"] - 2
    assert 5 < by_ball["rerender_psnr"] < 25


def test_the_table_names_where_depth_came_from(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "consistency", str(folder / "views"), "--depth", "own"]) == 0
    shown = capsys.readouterr().out
    assert "warp dB" in shown
    assert "16 views; depth: own." in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "There is no folder"),
        (["flat", "--depth", "own"], "hold no depth"),
        (["views", "--depth", "nothing.ply"], "There is no file"),
        (["views", "--preset", "hull", "--reconstruct.nothing", "1"], "VisualHull"),
    ],
    ids=["no folder", "no depth", "no mesh", "no such setting"],
)
def test_a_mistake_gets_a_message_and_exit_code_2(
    folder: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert main(["eval", "consistency", *arguments]) == 2
    assert words in capsys.readouterr().err
