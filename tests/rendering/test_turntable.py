"""The turntable as people see it: the front first, the whole object, an even turn that closes, lit from all sides."""

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from epimesh.cameras import Cameras
from epimesh.errors import BadInput
from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import UNLIT, render_mesh
from epimesh.rendering.turntable import turntable, write_animation


def block(size: tuple[float, float, float]) -> Mesh:
    """Red where x is positive, else blue; cut at x = 0 so that the colours meet sharply."""
    halves = []
    for sign in (1, -1):
        half = trimesh.creation.box((size[0] / 2, size[1], size[2]))
        half.apply_translation((sign * size[0] / 4, 0, 0))
        halves.append(half)
    whole = trimesh.util.concatenate(halves)
    vertices = torch.from_numpy(np.array(whole.vertices)).float()
    rgb = torch.tensor([[0.0, 0, 1], [1, 0, 0]])[(torch.arange(len(vertices)) < len(vertices) // 2).long()]
    return Mesh(vertices, torch.from_numpy(np.array(whole.faces)).long(), vertex_rgb=rgb)


def ball() -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=0.5)
    return Mesh(torch.from_numpy(np.array(sphere.vertices)).float(), torch.from_numpy(np.array(sphere.faces)).long())


def arrays(frames: list[Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(frame) for frame in frames]).astype(float)


def test_the_photos_side_comes_first_and_the_back_after_half_a_turn() -> None:
    frames = turntable(block((0.3, 0.6, 1.0)), frames=4, size=64)
    first, half = np.asarray(frames[0]), np.asarray(frames[2])
    assert first[32, 32, 0] > 100 > first[32, 32, 2]
    assert half[32, 32, 2] > 100 > half[32, 32, 0]


def test_it_turns_as_the_ring_of_cameras_does() -> None:
    # The quarter turn shows the left side (+y) with the red front on its left.
    frames = turntable(block((0.8, 0.3, 1.0)), frames=4, size=64)
    quarter = np.asarray(frames[1])
    assert quarter[32, 26, 0] > 100 > quarter[32, 26, 2]
    assert quarter[32, 38, 2] > 100 > quarter[32, 38, 0]


def test_the_silhouettes_are_those_of_the_renderer() -> None:
    mesh = block((0.4, 0.7, 1.0))
    frames = arrays(turntable(mesh, frames=3, size=96, elevation_deg=15.0))
    reach, edge = float(mesh.vertices.norm(dim=-1).max()), 0.94 * 96 / 2
    focal = float(Cameras.ring(1, size=96).intrinsics[0, 0, 0])
    distance = reach / np.sin(np.arctan(edge / focal))
    azimuth = torch.tensor([0.0, 120, 240])
    cameras = Cameras.on_sphere(azimuth, torch.full((3,), 15.0), size=96, distance=float(distance))
    alpha = render_mesh(mesh, cameras, light=UNLIT).alpha[:, 0].numpy()
    solid, empty = alpha == 1, alpha == 0
    assert (frames[empty] == 255).all()
    assert (frames[solid].min(-1) < 5).all()  # red or blue, not a mixture with the white ground


@pytest.mark.parametrize("size", [(1.0, 1.0, 1.0), (1.0, 1.0, 0.05), (0.02, 0.02, 1.0), (10.0, 4.0, 3.0)])
def test_nothing_ever_leaves_the_picture(size: tuple[float, float, float]) -> None:
    frames = arrays(turntable(block(size), frames=8, size=64))
    border = np.concatenate([frames[:, 0], frames[:, -1], frames[:, :, 0], frames[:, :, -1]], axis=1)
    assert (border == 255).all()
    assert (frames < 200).any(axis=(1, 2, 3)).all()


def test_a_ball_looks_the_same_in_every_frame_so_the_loop_closes_without_a_flicker() -> None:
    frames = arrays(turntable(ball(), frames=6, size=64))
    assert np.abs(frames - frames[0]).mean() < 0.3  # of 255; the triangles' own edges turn
    body = frames[0][frames[0].min(-1) < 250].mean(-1)
    assert body.max() - body.min() > 40  # yet its roundness shows
    assert body.min() > 80  # and no side is black


def test_every_step_is_equally_large() -> None:
    mesh = block((0.02, 0.02, 1.0))
    offset = torch.tensor([0.3, 0.0, 0.0])  # a post beside the axis: its column in the image is a sine
    post = Mesh(mesh.vertices * torch.tensor([1, 1, 0.3]) + offset, mesh.faces, vertex_rgb=torch.zeros(16, 3))
    frames = 255 - arrays(turntable(post, frames=8, size=128, elevation_deg=0.0)).mean(-1)
    columns = (frames.sum(1) * (np.arange(128) + 0.5)).sum(-1) / frames.sum((1, 2)) - 64
    azimuth = -np.arange(8) * np.pi / 4  # the camera goes counter-clockwise, so the post goes clockwise
    reach = float(post.vertices.norm(dim=-1).max())
    focal = float(Cameras.ring(1, size=128).intrinsics[0, 0, 0])
    distance = reach / np.sin(np.arctan(0.94 * 64 / focal))
    expected = focal * 0.3 * np.sin(azimuth) / (distance - 0.3 * np.cos(azimuth))
    np.testing.assert_allclose(columns, expected, atol=0.4)


@pytest.mark.parametrize("suffix", ["webp", "gif", "WEBP"])
def test_an_animation_has_all_frames_loops_for_ever_and_takes_its_seconds(suffix: str, tmp_path: Path) -> None:
    frames = turntable(block((0.3, 0.6, 1.0)), frames=5, size=48)
    write_animation(frames, tmp_path / f"turn.{suffix}", seconds=2.0)
    found = Image.open(tmp_path / f"turn.{suffix}")
    assert found.n_frames == 5
    assert found.info["loop"] == 0
    for index, frame in enumerate(frames):
        found.seek(index)
        found.load()
        assert found.info["duration"] == 400
        assert np.abs(np.asarray(found.convert("RGB")).astype(float) - np.asarray(frame)).mean() < 6


def test_another_suffix_no_frames_and_no_place_are_refused(tmp_path: Path) -> None:
    frame = Image.new("RGB", (8, 8))
    with pytest.raises(BadInput, match=r"\.webp"):
        write_animation([frame], tmp_path / "turn.mp4")
    with pytest.raises(BadInput, match="0 frames"):
        write_animation([], tmp_path / "turn.webp")
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(BadInput, match="cannot be written"):
        write_animation([frame], tmp_path / "file" / "turn.webp")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
