"""Two shapes on one page: whole in itself, and red where they differ."""

from pathlib import Path

import pytest
import torch
import trimesh
from known_shapes import box
from test_generator_page import Page, picture

from epimesh.cli import main
from epimesh.evaluation.report.shape_page import FAR, coloured_by_distance


def test_a_mesh_is_grey_where_it_lies_on_the_other_and_red_where_it_is_far() -> None:
    same, other = box(1.0, 1.0, 1.0), box(1.0, 1.0, 1.0 + 4 * FAR)  # 2 FAR higher at both ends
    assert coloured_by_distance(same, same).vertex_rgb.std(dim=1).max() < 0.02
    red = coloured_by_distance(other, same).vertex_rgb
    assert (red[:, 0] - red[:, 2]).min() > 0.5
    half = coloured_by_distance(box(1.0, 1.0, 1.0 + FAR), same).vertex_rgb
    torch.testing.assert_close(half, (red + coloured_by_distance(same, same).vertex_rgb) / 2, atol=1e-3, rtol=0)


def test_one_command_writes_a_page_with_both_shapes_turning_and_every_score(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trimesh.creation.icosphere(3, 0.5).export(tmp_path / "truth.ply")
    trimesh.creation.icosphere(3, 0.45).export(tmp_path / "a<b.ply")
    quick = ["--samples", "2000", "--resolutions", "[32]", "--html", str(tmp_path / "page.html")]
    assert main(["eval", "shape", str(tmp_path / "a<b.ply"), "--truth", str(tmp_path / "truth.ply"), *quick]) == 0
    shown = capsys.readouterr()
    assert str(tmp_path / "page.html") in shown.err
    page = Page((tmp_path / "page.html").read_text())
    assert page.open == []
    assert all(source.startswith("data:") for source in page.sources)
    assert [kind for kind, _ in page.kinds] == ["turn"] * 4
    assert "a<b.ply" in page.text
    chamfer = next(line.split()[2] for line in shown.out.splitlines() if line.startswith("Chamfer, all"))
    assert chamfer in page.text
    made, true, _, missing = (picture(source) for source in page.sources if source.startswith("data:image"))
    assert redness(missing) > redness(made) + 3
    assert covered(made) == pytest.approx(0.78 * covered(true), rel=0.03)  # at one scale: .45 and .5 across


def redness(strip: object) -> float:
    red, _, blue = torch.frombuffer(bytearray(strip.tobytes()), dtype=torch.uint8).reshape(-1, 3).float().mean(0)
    return float(red - blue)


def covered(strip: object) -> float:
    return float((torch.frombuffer(bytearray(strip.convert("L").tobytes()), dtype=torch.uint8) < 245).float().mean())
