import pytest
import torch
from torch import Tensor

from epimesh.cameras import DISTANCE, Cameras
from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import UNLIT, Light, RayCaster, render_mesh, sample_texture

RADIUS = 0.4


def ball(steps: int = 96) -> Mesh:
    """A fine UV sphere with outward triangles."""
    upward, around = torch.linspace(0, torch.pi, steps + 1), torch.arange(2 * steps) * (torch.pi / steps)
    polar, turn = torch.meshgrid(upward, around, indexing="ij")
    points = torch.stack([polar.sin() * turn.cos(), polar.sin() * turn.sin(), polar.cos()], dim=-1)
    row, column = torch.meshgrid(torch.arange(steps), torch.arange(2 * steps), indexing="ij")
    right = (column + 1) % (2 * steps)
    a, b = row * 2 * steps + column, (row + 1) * 2 * steps + column
    c, d = (row + 1) * 2 * steps + right, row * 2 * steps + right
    faces = torch.cat([torch.stack([a, b, c], -1).reshape(-1, 3), torch.stack([a, c, d], -1).reshape(-1, 3)])
    return Mesh(points.reshape(-1, 3) * RADIUS, faces)


def cube() -> Mesh:
    corners = torch.tensor([[x, y, z] for x in (-0.3, 0.3) for y in (-0.3, 0.3) for z in (-0.3, 0.3)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return Mesh(corners, torch.tensor([triangle for a, b, c, d in quads for triangle in ((a, b, c), (a, c, d))]))


def exact_ball(cameras: Cameras) -> tuple[Tensor, Tensor, Tensor]:
    """Where the ray of each pixel centre meets the ball: hit, camera depth, normal. By the quadratic formula."""
    origins, directions = cameras.rays()
    middle = (origins * directions).sum(-1)
    discriminant = middle**2 - (origins**2).sum(-1) + RADIUS**2
    distance = -middle - discriminant.clamp_min(0).sqrt()
    points = origins + distance[..., None] * directions
    depth = distance * (directions * cameras.forward[:, None, None]).sum(-1)
    return discriminant > 0, depth, points / RADIUS


def colored_quads(*quads: tuple[list[list[float]], list[float]]) -> Mesh:
    vertices = torch.tensor([corner for corners, _ in quads for corner in corners])
    rgb = torch.tensor([color for _, color in quads for _ in range(4)])
    faces = torch.tensor([[4 * q + i for i in t] for q in range(len(quads)) for t in ((0, 1, 2), (0, 2, 3))])
    return Mesh(vertices, faces, vertex_rgb=rgb)


def test_a_ball_has_the_silhouette_depth_and_normals_of_the_formula() -> None:
    cameras = Cameras.on_sphere(torch.tensor([20.0, 200.0]), torch.tensor([30.0, -10.0]), size=64)
    views = render_mesh(ball(), cameras, supersample=1, threads=1)
    hit, depth, normal = exact_ball(cameras)
    assert (views.alpha[:, 0].bool() != hit).float().mean() < 0.002  # a few pixels on the very edge
    assert views.depth is not None
    assert views.normals is not None
    facing = (normal * cameras.rays()[1]).sum(-1) < -0.2  # at the rim depth changes faster than the triangles' size
    both = hit & views.alpha[:, 0].bool() & facing
    torch.testing.assert_close(views.depth[both], depth[both], atol=2e-3, rtol=0)
    torch.testing.assert_close(views.normals.movedim(1, -1)[both], normal[both], atol=0.02, rtol=0)


def test_where_nothing_is_hit_the_image_is_white_and_infinitely_far() -> None:
    views = render_mesh(ball(8), Cameras.ring(1, size=32), supersample=1, threads=1)
    empty = views.alpha[0, 0] == 0
    assert empty.any()
    assert (views.rgb[0][:, empty] == 1).all()
    assert views.depth is not None
    assert views.depth[0][empty].isinf().all()


def test_up_is_up_and_the_ring_turns_counter_clockwise_seen_from_above() -> None:
    red, blue = [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]
    high = [[-0.1, -0.1, 0.4], [0.1, -0.1, 0.4], [0.1, 0.1, 0.4], [-0.1, 0.1, 0.4]]
    towards_y = [[-0.1, 0.4, -0.1], [0.1, 0.4, -0.1], [0.1, 0.4, 0.1], [-0.1, 0.4, 0.1]]
    towards_y = [[x + 0.1 * (y > 0) * (z > 0), y, z] for x, y, z in towards_y]
    views = render_mesh(colored_quads((high, red), (towards_y, blue)), Cameras.ring(4, size=64), threads=1)

    def middle(view: int, channel: int) -> tuple[float, float]:
        mask = (views.alpha[view, 0] > 0.5) & (views.rgb[view, channel] > 0.9) & (views.rgb[view, 1] < 0.1)
        rows, columns = mask.nonzero().float().unbind(1)
        return float(rows.mean()), float(columns.mean())

    assert all(middle(view, 0)[0] < 28 for view in range(4))  # what is high is in the upper half
    assert middle(0, 2)[1] > 34  # from +x, +y is on the right
    assert middle(2, 2)[1] < 30  # from -x, +y is on the left
    assert middle(1, 2)[0] > middle(3, 2)[0]  # from +y it is close, so lower in a view from above


def test_a_cube_keeps_flat_sides_and_a_ball_is_smooth() -> None:
    flat = cube().corner_normals()
    torch.testing.assert_close(flat, cube().face_normals()[:, None].expand(-1, 3, -1))
    round_ball = ball(32)
    away = torch.nn.functional.normalize(round_ball.vertices, dim=-1)[round_ball.faces]
    off_the_poles = away[..., 2].abs().amax(1) < 0.98  # where this ball's vertices nearly coincide
    assert ((round_ball.corner_normals() * away).sum(-1)[off_the_poles] > 0.999).all()


def test_a_light_brightens_the_side_it_shines_on() -> None:
    camera = Cameras.on_sphere(torch.tensor([0.0]), torch.tensor([0.0]), size=32)
    left, right = (Light((0.3, y, 0.0), ambient=0.2, diffuse=0.8) for y in (-1.0, 1.0))
    from_left, from_right = (render_mesh(ball(32), camera, light=light, threads=1).rgb[0, 0] for light in (left, right))
    assert from_left[16, 9] > from_left[16, 22] + 0.2
    torch.testing.assert_close(from_left.flip(1), from_right, atol=0.02, rtol=0)


def test_without_light_the_image_is_the_plain_surface_color() -> None:
    mesh = Mesh(ball(16).vertices, ball(16).faces, vertex_rgb=torch.full((17 * 32, 3), 0.25))
    views = render_mesh(mesh, Cameras.ring(1, size=32), light=UNLIT, threads=1)
    assert torch.equal(views.rgb[0][:, views.alpha[0, 0] == 1].unique(), torch.tensor([0.25]))


def test_the_first_row_of_a_texture_is_at_v_zero() -> None:
    texture = torch.zeros(3, 8, 8)
    texture[0, :4] = 1  # upper half red
    assert sample_texture(texture, torch.tensor([[0.5, 0.2]]))[0, 0] == 1
    assert sample_texture(texture, torch.tensor([[0.5, 0.8]]))[0, 0] == 0
    torch.testing.assert_close(
        sample_texture(texture, torch.tensor([[0.3, 1.2]])), sample_texture(texture, torch.tensor([[0.3, 0.2]]))
    )


@pytest.mark.parametrize(("target", "hidden"), [([0.0, 0.0, 1.0], True), ([0.0, 0.0, 0.41], False)])
def test_a_point_is_hidden_when_the_ball_lies_before_it(target: list[float], hidden: bool) -> None:
    caster = RayCaster(ball(32).vertices, ball(32).faces, threads=1)
    origin = torch.tensor([[0.0, 0.0, -DISTANCE if hidden else DISTANCE]])
    assert bool(caster.occluded(origin, torch.tensor([target]), 0.01)) == hidden
