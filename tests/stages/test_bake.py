"""The texture shows what the images show, where they see it, and nothing that they do not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from torch import Tensor

from epimesh.cameras import FOV_DEG, Cameras
from epimesh.errors import BadInput, StageFailed
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.rendering.ray_casting import RayCaster, render_mesh, surface_color
from epimesh.runtime import Runtime, Silent
from epimesh.stages import BakeTexture
from epimesh.stages.texture.atlas import texels_of, unwrapped, welded
from epimesh.stages.texture.exposure import gains
from epimesh.stages.texture.inpainting import flowed_colors
from epimesh.stages.texture.view_projector import ProjectedColor
from epimesh.views import Views

RED, GREEN, BLUE = ((0.8, 0.2, 0.15), (0.2, 0.7, 0.3), (0.15, 0.25, 0.8))
SIDE = 96


def geometry(mesh: trimesh.Trimesh) -> Mesh:
    return Mesh(torch.tensor(np.array(mesh.vertices)).float(), torch.tensor(np.array(mesh.faces)).long())


def colored(mesh: Mesh, rgb: Tensor | tuple[float, float, float]) -> Mesh:
    return Mesh(mesh.vertices, mesh.faces, vertex_rgb=torch.as_tensor(rgb).float().expand(len(mesh.vertices), 3))


def ball(subdivisions: int = 4) -> Mesh:
    return geometry(trimesh.creation.icosphere(subdivisions, radius=0.45))


def ripples(points: Tensor) -> Tensor:
    """A colourful pattern that cameras of SIDE pixels can resolve."""
    return 0.5 + 0.35 * (points @ torch.tensor([[9.0, 2.0, -3.0], [-4.0, 8.0, 5.0], [3.0, -6.0, 9.0]])).sin()


def box(extents: tuple[float, float, float], centre: tuple[float, float, float]) -> trimesh.Trimesh:
    made = trimesh.creation.box(extents).subdivide_to_size(0.08)
    made.apply_translation(centre)
    return made


def all_around(size: int = SIDE) -> Cameras:
    azimuth, elevation = torch.arange(12) * 60.0, torch.tensor([25.0] * 6 + [-25.0] * 6)
    poles = torch.tensor([[0.0, 80.0], [0.0, -80.0]])
    return Cameras.on_sphere(torch.cat([azimuth, poles[:, 0]]), torch.cat([elevation, poles[:, 1]]), size=size)


def front(size: int = SIDE) -> Cameras:
    return Cameras.on_sphere(torch.zeros(1), torch.zeros(1), size=size)


def photo_of(mesh: Mesh, size: int = 160) -> Photo:
    seen = render_mesh(mesh, front(size))
    rgb = ((seen.rgb - 1 + seen.alpha) / seen.alpha.clamp_min(1e-3)).clamp(0, 1)
    return Photo(torch.cat([rgb, seen.alpha], dim=1)[0], 0.0, FOV_DEG)


def baked(
    mesh: Mesh, views: Views, photo: Photo | None = None, *, size: int = 256, match_exposure: bool = True
) -> tuple[Mesh, list[str]]:
    """The textured mesh and the warnings."""
    reporter = Silent()
    stage = BakeTexture(size=size, match_exposure=match_exposure)
    return stage(mesh, views, photo, runtime=Runtime(device="cpu", reporter=reporter)), reporter.warnings


def color_towards(mesh: Mesh, *directions: tuple[float, float, float]) -> Tensor:
    """The surface colours that rays from outside meet on their way to the centre, one row per direction."""
    towards = torch.nn.functional.normalize(torch.tensor(directions), dim=-1)
    hits = RayCaster(mesh.vertices, mesh.faces).cast(2 * towards, -towards)
    return surface_color(mesh, hits.face, hits.barycentric)


def decibels(one: Tensor, other: Tensor) -> float:
    return float(-10 * (one - other).square().mean().log10())


def test_a_painted_ball_looks_the_same_from_places_no_camera_stood() -> None:
    painted = colored(ball(), ripples(ball().vertices))
    textured, _ = baked(ball(), render_mesh(painted, all_around()), size=512)
    between = Cameras.on_sphere(torch.tensor([30.0, 95.0, 215.0]), torch.tensor([10.0, -35.0, 50.0]), size=SIDE)
    truth, drawn = render_mesh(painted, between), render_mesh(textured, between)
    inside = (truth.alpha > 0.99).expand_as(truth.rgb)
    assert decibels(drawn.rgb[inside], truth.rgb[inside]) > 33
    shifted = truth.rgb.roll(2, dims=-1)  # what a texture that is off by two pixels would score
    assert decibels(shifted[inside], truth.rgb[inside]) < 25


def test_a_plain_colour_stays_exactly_itself_on_seams_rims_gutters_and_unseen_places() -> None:
    ring = Cameras.ring(6, size=SIDE)
    textured, _ = baked(ball(), render_mesh(colored(ball(), RED), ring))
    assert textured.texture is not None
    assert (textured.texture - torch.tensor(RED)[:, None, None]).abs().max() < 1 / 255


def test_only_seams_repeat_vertices_and_triangles_keep_their_places() -> None:
    mesh = ball()
    textured, _ = baked(mesh, render_mesh(colored(mesh, RED), front()))
    assert torch.equal(textured.vertices[textured.faces], mesh.vertices[mesh.faces])
    assert len(mesh.vertices) < len(textured.vertices) < 1.5 * len(mesh.vertices)
    pairs = torch.cat([textured.vertices, textured.uv], dim=1)
    assert len(torch.unique(pairs, dim=0)) == len(pairs)


def test_charts_lie_beside_each_other_and_cover_a_good_part_of_the_texture() -> None:
    atlas = unwrapped(welded(ball()), 512)
    a, b, c = atlas.uv[atlas.faces].unbind(1)
    area = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).abs().sum() / 2
    share = len(texels_of(atlas, 512)) / 512**2
    assert share == pytest.approx(float(area), rel=0.02)  # texels of overlapping charts would count once only
    assert share > 0.4


def test_texels_know_where_on_the_surface_they_lie() -> None:
    texels = texels_of(unwrapped(welded(ball()), 256), 256)
    assert (texels.position.norm(dim=-1) - 0.45).abs().max() < 0.003
    assert (texels.normal * texels.position).sum(-1).min() > 0.449 * 0.995
    assert set(texels.face.tolist()) == set(range(len(ball().faces)))


def test_a_wall_behind_a_plate_takes_no_colour_from_the_plate() -> None:
    wall, plate = box((0.06, 1.0, 1.0), (-0.2, 0, 0)), box((0.06, 0.4, 0.4), (0.3, 0, 0))
    both = geometry(trimesh.util.concatenate([wall, plate]))
    rgb = torch.tensor([GREEN] * len(wall.vertices) + [RED] * len(plate.vertices))
    textured, _ = baked(both, render_mesh(colored(both, rgb), front()))
    of_wall = Mesh(textured.vertices, textured.faces[: len(wall.faces)], textured.uv, textured.texture)
    drawn = render_mesh(of_wall, front())
    inside = drawn.alpha[0, 0] > 0.99
    assert (drawn.rgb[0][:, inside] - torch.tensor(GREEN)[:, None]).abs().max() < 0.02


def test_differences_of_exposure_are_gone_and_without_a_photo_the_mean_is_kept() -> None:
    views = render_mesh(colored(ball(), (0.5, 0.5, 0.5)), all_around())
    factor = torch.tensor([0.9, 1.1] * 7)[:, None, None, None]
    uneven = Views(
        rgb=(views.rgb - 1 + views.alpha) * factor + 1 - views.alpha, alpha=views.alpha, cameras=views.cameras
    )
    matched, _ = baked(ball(), uneven)
    as_they_are, _ = baked(ball(), uneven, match_exposure=False)
    with_photo, _ = baked(ball(), uneven, photo_of(colored(ball(), (0.55, 0.5, 0.45))))
    assert matched.texture is not None
    assert as_they_are.texture is not None
    assert with_photo.texture is not None
    assert as_they_are.texture.std() > 0.02
    assert matched.texture.std() < 0.002
    assert matched.texture.mean() == pytest.approx(0.5, abs=0.01)
    back = color_towards(with_photo, (-1.0, 0.1, 0.1))[0]  # the photo's tint reaches the side it does not see
    assert back == pytest.approx([0.55, 0.5, 0.45], abs=0.012)


def test_the_photo_rules_in_front_the_views_behind_and_no_edge_shows_between() -> None:
    views = render_mesh(colored(ball(), RED), all_around())
    textured, _ = baked(ball(), views, photo_of(colored(ball(), BLUE)), match_exposure=False)
    in_front, aslant, behind = color_towards(textured, (1.0, 0.0, 0.0), (1.0, 0.4, -0.3), (-1.0, 0.2, 0.1))
    assert in_front == pytest.approx(BLUE, abs=0.005)
    assert aslant == pytest.approx(BLUE, abs=0.005)
    assert behind == pytest.approx(RED, abs=0.005)
    half_way_round = [(float(np.cos(turn)), float(np.sin(turn)), 0.0) for turn in np.linspace(0, np.pi, 120)]
    steps = color_towards(textured, *half_way_round).diff(dim=0).abs().amax(1)
    assert steps.max() < 0.12
    assert steps.sum() > 0.6  # it did go all the way from blue to red


def test_the_same_input_gives_the_same_texture() -> None:
    views = render_mesh(colored(ball(3), ripples(ball(3).vertices)), Cameras.ring(5, size=64))
    one, other = (baked(ball(3), views, size=128)[0] for _ in range(2))
    assert torch.equal(one.texture, other.texture)
    assert torch.equal(one.uv, other.uv)


def test_a_single_view_is_warned_of_and_views_from_all_sides_are_not() -> None:
    painted = colored(ball(), RED)
    textured, warnings = baked(ball(), render_mesh(painted, front()))
    assert len(warnings) == 1
    share = int(warnings[0].split("%")[0].split()[-1])
    assert 55 < share < 75  # at 1.5 from a ball of 0.45 a camera sees 35 % of it, the rim too obliquely
    assert textured.unseen_share == pytest.approx(share / 100, abs=0.006)
    assert baked(ball(), render_mesh(painted, all_around()))[1] == []


def test_how_much_was_guessed_is_known_even_where_it_is_too_little_for_a_warning() -> None:
    """Four square looks at a box: of six equal sides two are not seen."""
    cube = geometry(box((0.5, 0.5, 0.5), (0.0, 0.0, 0.0)))
    around = Cameras.on_sphere(torch.arange(4) * 90.0, torch.zeros(4), size=SIDE)
    textured, warnings = baked(cube, render_mesh(colored(cube, RED), around))
    assert warnings == []
    assert textured.unseen_share == pytest.approx(1 / 3, abs=0.01)


def test_a_mesh_that_is_inside_out_is_refused() -> None:
    turned = replace(ball(), faces=ball().faces.flip(1))
    with pytest.raises(StageFailed, match="inside out"):
        baked(turned, render_mesh(colored(ball(), RED), front()))


def test_orthographic_views_are_read_through_their_own_cameras() -> None:
    looks = all_around()
    intrinsics = torch.tensor([[80.0, 0, SIDE / 2], [0, 80.0, SIDE / 2], [0, 0, 1]]).repeat(len(looks), 1, 1)
    parallel = Cameras(looks.world_to_camera, intrinsics, SIDE, SIDE, orthographic=True)
    painted = colored(ball(), ripples(ball().vertices))
    textured, _ = baked(ball(), render_mesh(painted, parallel), size=512)
    truth, drawn = render_mesh(painted, front()), render_mesh(textured, front())
    inside = (truth.alpha > 0.99).expand_as(truth.rgb)
    assert decibels(drawn.rgb[inside], truth.rgb[inside]) > 30


def test_degenerate_triangles_and_split_vertices_do_no_harm() -> None:
    mesh = ball(3)
    soup = mesh.vertices[mesh.faces].reshape(-1, 3)  # every triangle with vertices of its own
    faces = torch.cat([torch.arange(len(soup)).reshape(-1, 3), torch.tensor([[5, 5, 9], [3, 3, 3]])])
    textured, _ = baked(Mesh(soup, faces), render_mesh(colored(mesh, GREEN), all_around()))
    assert textured.texture is not None
    assert (textured.texture - torch.tensor(GREEN)[:, None, None]).abs().max() < 1 / 255
    assert len(textured.faces) == len(faces)


def test_factors_are_found_from_overlaps_alone_and_the_fixed_image_keeps_its_colours() -> None:
    colors = 0.2 + 0.5 * torch.rand(3000, 3)
    truth = torch.tensor([[1.0, 1.0, 1.0], [1.1, 0.95, 1.0], [0.9, 1.05, 1.12]])
    chain = ((0, 1400), (1000, 2400), (2000, 3000))  # first and last share no place
    said = []
    for factor, (start, end) in zip(truth, chain, strict=True):
        trust = torch.zeros(3000)
        trust[start:end] = 1
        said.append(ProjectedColor(colors * factor, torch.zeros(3000, 3), trust))
    found = gains(said, 0) * truth
    assert (found - 1).abs().max() < 0.05
    assert gains(said, 0)[0] == pytest.approx([1, 1, 1], abs=1e-4)
    assert gains([said[0], said[2]], None) == pytest.approx(torch.ones(2, 3))


def test_places_that_either_image_distrusts_or_shows_too_dark_or_too_bright_change_no_factor() -> None:
    colors = 0.2 + 0.5 * torch.rand(900, 3)
    one, other, trust = colors.clone(), colors * 1.1, torch.ones(2, 900)
    one[:200], other[200:400] = 0.01, 1.0
    one[400:500] *= 3
    trust[0, 400:450] = trust[1, 450:500] = 0.1
    said = [ProjectedColor(color, torch.zeros(900, 3), sure) for color, sure in zip((one, other), trust, strict=True)]
    assert gains(said, 0)[1] == pytest.approx(torch.full((3,), 1 / 1.1), abs=5e-3)


def test_colours_flow_evenly_along_a_strip_from_one_known_end_to_the_other() -> None:
    steps = 40
    x = torch.linspace(-0.5, 0.5, steps + 1)
    vertices = torch.stack([torch.stack([x, torch.full_like(x, y), 0 * x], -1) for y in (0.0, 0.05)], 1).reshape(-1, 3)
    faces = torch.tensor([t for i in range(0, 2 * steps, 2) for t in ((i, i + 2, i + 3), (i, i + 3, i + 1))])
    strip = Mesh(vertices, faces)
    texels = texels_of(unwrapped(strip, 256), 256)
    known = (texels.position[:, 0].abs() > 0.47).float()
    bright = (texels.position[:, :1] > 0).float().expand(-1, 3)
    flowed = flowed_colors(strip, texels, bright, known)[:, 0]
    assert flowed[vertices[:, 0] < -0.48].max() < 0.03
    assert flowed[vertices[:, 0] > 0.48].min() > 0.97
    assert (flowed[::2].diff() > 0).all()
    assert flowed[::2].diff().max() < 0.2


def test_a_piece_that_no_camera_sees_takes_the_colour_of_the_nearest_piece() -> None:
    shell, inner = trimesh.creation.icosphere(3, radius=0.4), trimesh.creation.icosphere(2, radius=0.1)
    both = geometry(trimesh.util.concatenate([shell, inner]))
    textured, _ = baked(both, render_mesh(colored(both, GREEN), all_around()))
    inside = Mesh(textured.vertices, textured.faces[len(shell.faces) :], textured.uv, textured.texture)
    assert color_towards(inside, (1.0, 0.3, 0.2))[0] == pytest.approx(GREEN, abs=0.005)


def test_a_mesh_without_triangles_and_impossible_sizes_are_refused() -> None:
    views = render_mesh(colored(ball(1), RED), front(32))
    with pytest.raises(StageFailed, match="0 triangles"):
        baked(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long)), views)
    with pytest.raises(StageFailed, match="finite"):
        baked(Mesh(ball(1).vertices / 0, ball(1).faces), views)
    with pytest.raises(BadInput, match="size is 16 texels"):
        BakeTexture(size=16)


def test_the_published_case_is_painted_as_its_true_images_show_it(shared: Path) -> None:
    folder = shared / "data" / "chicken"
    mesh = geometry(trimesh.load(folder / "mesh_world.ply", process=False))
    images = [np.asarray(Image.open(path), np.float32) / 255 for path in sorted((folder / "gt").glob("*.png"))]
    rgba = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    alpha = rgba[:, 3:]
    views = Views(rgb=rgba[:, :3] * alpha + 1 - alpha, alpha=alpha, cameras=Cameras.ring(size=256))
    textured, warnings = baked(mesh, views, size=512)
    drawn = render_mesh(textured, views.cameras)
    assert decibels(drawn.rgb, views.rgb) > 34
    assert warnings == []
