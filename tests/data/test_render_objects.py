from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from epimesh.cameras import Cameras
from epimesh.cli.render import main
from epimesh.data.objects import load_object, read_manifest
from epimesh.data.packs.render_objects import RenderSettings, fitting_scale, random_light, render_pack
from epimesh.data.packs.view_pack import ViewPack
from epimesh.data.procedural.generate import generate
from epimesh.errors import BadInput
from epimesh.rendering.rasterize import rasterize
from epimesh.rendering.ray_casting import Light, render_mesh


def test_a_pack_comes_back_as_it_was_saved(objects: Path, tmp_path: Path) -> None:
    record = read_manifest(objects)[0]
    pack = render_pack(load_object(record.path), record, RenderSettings(size=32))
    pack.save(tmp_path / "pack.safetensors")
    again = ViewPack.load(tmp_path / "pack.safetensors")
    assert torch.equal(pack.rgba, again.rgba)
    assert torch.equal(pack.elevation_deg, again.elevation_deg)
    assert (again.id, again.family, again.realistic, again.scale) == ("plank_a", "planks", True, pack.scale)
    assert [path.name for path in tmp_path.glob("*pack*")] == ["pack.safetensors"]


def test_a_damaged_pack_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pack.safetensors").write_bytes(b"not a pack")
    with pytest.raises(BadInput, match="not a pack of views"):
        ViewPack.load(tmp_path / "pack.safetensors")


def test_the_views_are_a_ring_and_four_others(objects: Path) -> None:
    record = read_manifest(objects)[0]
    pack = render_pack(load_object(record.path), record, RenderSettings(size=32))
    assert pack.azimuth_index[:16].tolist() == list(range(16))
    assert (pack.elevation_deg[:16] == 30).all()
    assert ((pack.elevation_deg[16:] >= -10) & (pack.elevation_deg[16:] <= 40)).all()


def test_training_varies_an_object_and_evaluation_leaves_it_as_it_is(objects: Path) -> None:
    record = read_manifest(objects)[0]
    mesh = load_object(record.path)
    plain = [render_pack(mesh, record, RenderSettings(size=32, vary=False, seed=seed)) for seed in (0, 1)]
    assert torch.equal(plain[0].rgba[:16], plain[1].rgba[:16])
    exact = rasterize(replace(mesh, vertices=mesh.vertices * plain[0].scale), plain[0].cameras(), Light(), 2).rgba
    assert torch.equal(plain[0].rgba, exact)
    varied = [render_pack(mesh, record, RenderSettings(size=32, seed=seed)) for seed in (0, 1)]
    assert not torch.equal(varied[0].rgba[:16], varied[1].rgba[:16])


def test_the_quick_renderer_draws_what_the_exact_one_draws() -> None:
    mesh = replace(generate(0, 3), texture=None, uv=None)  # plain grey, so that only shape and light count
    cameras = Cameras.ring(4, size=64)
    quick = rasterize(mesh, cameras, Light(), 2).rgba.float() / 255
    exact = render_mesh(mesh, cameras, light=Light(), threads=1)
    torch.testing.assert_close(quick[:, 3:], exact.alpha, atol=0.003, rtol=0)
    difference = (quick[:, :3] + 1 - quick[:, 3:] - exact.rgb).abs()
    assert difference.mean() < 0.002


def test_depth_is_that_of_the_nearest_surface_in_a_pixel_and_infinite_beside_the_object() -> None:
    mesh = generate(0, 3)
    cameras = Cameras.ring(4, size=64)
    drawn = rasterize(mesh, cameras, Light())
    exact = render_mesh(mesh, cameras, threads=1)
    assert exact.depth is not None
    both = drawn.depth.isfinite() & exact.depth.isfinite()
    assert both.sum() > 0.99 * exact.depth.isfinite().sum() > 100
    torch.testing.assert_close(drawn.depth[both], exact.depth[both], atol=1e-4, rtol=0)
    assert drawn.depth[drawn.rgba[:, 3] == 0].isinf().all()


def test_a_mesh_that_reaches_behind_a_camera_is_refused() -> None:
    mesh = generate(0, 3)
    with pytest.raises(BadInput, match="behind a camera"):
        rasterize(replace(mesh, vertices=mesh.vertices * 5), Cameras.ring(4, size=16), Light())


@pytest.mark.parametrize("index", range(6))
def test_no_view_of_a_pack_is_clipped_by_the_frame(index: int) -> None:
    cube = torch.tensor([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    random = np.random.default_rng(index)
    vertices = cube * torch.tensor([1.0, random.uniform(0.1, 1), random.uniform(0.1, 1)])
    elevation = torch.from_numpy(random.uniform(-10, 40, 16)).float()
    cameras = Cameras.on_sphere(torch.arange(16) * 22.5, elevation, size=128)
    scale = fitting_scale(vertices, cameras)
    pixels, _ = cameras.project(vertices * scale)
    assert pixels.min() >= 2
    assert pixels.max() <= 126
    if scale < 1:  # no smaller than it must be
        pixels, _ = cameras.project(vertices * scale * 1.01)
        assert pixels.min() < 2 or pixels.max() > 126


def test_the_lights_of_training_shine_from_above_and_are_never_dark() -> None:
    lights = [random_light(np.random.default_rng(seed)) for seed in range(50)]
    assert all(light.direction[2] > 0.4 and 0.5 <= light.ambient <= 0.85 for light in lights)
    assert all(light.ambient + light.diffuse <= 1.06 for light in lights)


def test_a_stopped_run_goes_on_and_broken_objects_are_listed(objects: Path, tmp_path: Path) -> None:
    out = tmp_path / "packs"
    arguments = [str(objects), str(out), "--split", "train", "--size", "32", "--processes", "1"]
    assert main([*arguments, "--count", "1"]) == 0
    first = out / "plank_a.safetensors"
    written = first.stat().st_mtime_ns
    assert main(arguments) == 0
    assert sorted(path.name for path in out.glob("*.safetensors")) == [first.name, "plank_b.safetensors"]
    assert first.stat().st_mtime_ns == written
    assert (out / "skipped.txt").read_text().startswith("broken\t")


def test_two_processes_make_the_same_packs_as_one(objects: Path, tmp_path: Path) -> None:
    for processes in ("1", "2"):
        out = str(tmp_path / processes)
        assert main([str(objects), out, "--size", "32", "--processes", processes]) == 0
    for path in (tmp_path / "1").glob("*.safetensors"):
        one, other = ViewPack.load(path), ViewPack.load(tmp_path / "2" / path.name)
        assert torch.equal(one.rgba, other.rgba)
        assert torch.equal(one.elevation_deg, other.elevation_deg)
        assert one.scale == other.scale


def test_made_up_objects_are_rendered_into_the_same_format(tmp_path: Path) -> None:
    assert main(["--procedural", "2", "--first", "5", str(tmp_path), "--size", "32", "--processes", "1"]) == 0
    packs = [ViewPack.load(path) for path in sorted(tmp_path.glob("*.safetensors"))]
    assert [pack.id for pack in packs] == ["procedural_0_000005", "procedural_0_000006"]
    assert all(pack.family.startswith("procedural_") and not pack.realistic for pack in packs)
    assert all((pack.rgba[:, 3] > 0).any() for pack in packs)


def test_the_wrong_number_of_folders_is_refused(objects: Path) -> None:
    with pytest.raises(BadInput, match="expected two"):
        main([str(objects)])


def test_an_object_that_leaves_the_frame_is_drawn_like_by_the_exact_renderer() -> None:
    cube = generate(0, 1)
    mesh = replace(cube, vertices=cube.vertices + torch.tensor([0.0, 0.5, 0.2]), texture=None, uv=None)
    cameras = Cameras.on_sphere(torch.tensor([0.0, 90.0, 180.0]), torch.tensor([0.0, 10.0, 30.0]), size=48)
    quick = rasterize(mesh, cameras, Light(), 2).rgba[:, 3:].float() / 255
    exact = render_mesh(mesh, cameras, threads=1).alpha
    assert exact[0, 0, :, -1].any()  # it does leave it
    torch.testing.assert_close(quick, exact, atol=0.003, rtol=0)
