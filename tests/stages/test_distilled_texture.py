"""Score distillation of texels: unseen sides take the guide's colour, the mesh stays, and what cannot work is said."""

from dataclasses import dataclass

import pytest
import torch
import trimesh
from gaussian_guide import GaussianGuide, Knowing

from epimesh.cameras import Cameras
from epimesh.errors import BadInput
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.pipeline.contracts import Texturer
from epimesh.rendering.ray_casting import render_mesh
from epimesh.runtime import Runtime
from epimesh.stages import BakeTexture, DistilledTexture
from epimesh.views import Views

CPU = Runtime("cpu")


def ball(color: tuple[float, float, float]) -> Mesh:
    shape = trimesh.creation.icosphere(subdivisions=2, radius=0.3)
    vertices = torch.tensor(shape.vertices).float()
    return Mesh(vertices, torch.tensor(shape.faces).long(), vertex_rgb=torch.tensor(color).expand(len(vertices), 3))


GREY = ball((0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def photo() -> Photo:
    camera = Cameras.on_sphere(torch.zeros(1), torch.tensor([20.0]), size=16)
    shown = render_mesh(ball((0.1, 0.9, 0.1)), camera, threads=1)
    return Photo(torch.cat([shown.straight_rgb()[0], shown.alpha[0]]), 20.0, 49.134)


@pytest.fixture(scope="module")
def views() -> Views:
    return render_mesh(GREY, Cameras.ring(16, size=16), threads=1)


def test_texels_that_the_photo_does_not_show_take_the_guides_colour(photo: Photo, views: Views) -> None:
    red = Knowing(make=lambda: GaussianGuide(torch.tensor([0.9, 0.1, 0.1, 1.0])))
    plain = BakeTexture(size=64)
    stage = DistilledTexture(texturer=plain, guide=red, steps=24, rate=0.02, photo_weight=20.0)
    before, made = (one(GREY, views, photo, runtime=CPU) for one in (plain, stage))
    assert torch.equal(made.vertices, before.vertices)
    assert torch.equal(made.uv, before.uv)
    back = Cameras.on_sphere(torch.tensor([180.0]), torch.tensor([20.0]), size=16)
    was, became = (render_mesh(mesh, back, threads=1).rgb[0, :, 8, 8] for mesh in (before, made))
    assert became[0] - became[1] > was[0] - was[1] + 0.2
    front = render_mesh(made, photo.camera, threads=1).rgb[0, :, 8, 8]
    assert front[1] - front[0] > 0.3


@dataclass(frozen=True, kw_only=True)
class Plain(Texturer):
    def __call__(self, mesh: Mesh, views: Views, photo: Photo | None, *, runtime: Runtime) -> Mesh:
        return mesh


def test_what_cannot_be_distilled_is_said(photo: Photo, views: Views) -> None:
    stage = DistilledTexture(texturer=Plain(), guide=Knowing(make=lambda: GaussianGuide(torch.zeros(4))))
    with pytest.raises(BadInput, match="without a texture to change"):
        stage(GREY, views, photo, runtime=CPU)
    with pytest.raises(BadInput, match="only posed views"):
        stage(GREY, views, None, runtime=CPU)
    with pytest.raises(BadInput, match="views_at_once is 3"):
        DistilledTexture(texturer=Plain(), guide=stage.guide, views_at_once=3)
