"""Cascade-Zero123: prompts come from where they are said to, once for all views, and without them it is Zero-1-to-3."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import trimesh
from diffusers import UNet2DConditionModel
from published_folders import noisy_photo, save_zero123

from epimesh.cameras import Cameras
from epimesh.diffusion.attention_control.controller import Layers
from epimesh.diffusion.attention_control.mutual import MutualSelfAttention
from epimesh.diffusion.schedules import Window
from epimesh.errors import BadInput, StageMismatch
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.pipeline.parser import pipeline_from
from epimesh.rendering.ray_casting import render_mesh
from epimesh.runtime import Runtime, Silent
from epimesh.stages import CascadeZero123, CoarsePrior
from epimesh.stages.cascade.stage import FreeCameras, Nearby, nearby_cameras
from epimesh.stages.shared.zero_to_hero import ZeroToHero
from epimesh.stages.zero123.stage import Zero123
from epimesh.views import LatentViews

CPU = Runtime("cpu")
VIEWS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "zero123"
    save_zero123(folder)
    return folder


@pytest.fixture(scope="module")
def photo() -> Photo:
    return noisy_photo()


@pytest.fixture
def single(folder: Path) -> Zero123:
    return Zero123(weights=str(folder), steps=2, views=VIEWS)


@pytest.fixture
def cascade(single: Zero123) -> CascadeZero123:
    return CascadeZero123(weights=single.weights, base=single, steps=2, views=VIEWS)


def asked(stage: CascadeZero123, photo: Photo, cameras: Cameras) -> torch.Tensor:
    """The tokens that the refiner is told for some views."""
    with torch.no_grad():
        return stage._told(photo, cameras, CPU)[0].tokens


def ring(views: int = VIEWS) -> Cameras:
    return Cameras.ring(views, size=64)


def test_without_prompts_it_is_bitwise_the_single_model(single: Zero123, photo: Photo) -> None:
    alone = CascadeZero123(weights=single.weights, base=single, nearby=(), coarse_target=False, steps=2, views=VIEWS)
    expected = single(photo, runtime=CPU)
    found = alone(photo, runtime=CPU)
    assert torch.equal(found.latents, expected.latents)
    assert torch.equal(found.cameras.world_to_camera, expected.cameras.world_to_camera)


def test_every_prompt_is_a_token_more_and_changes_the_views(cascade: CascadeZero123, photo: Photo) -> None:
    seen = [cascade(photo, runtime=CPU).latents]
    assert asked(cascade, photo, ring()).shape[1] == 5
    for fewer, count in (
        (replace(cascade, nearby=cascade.nearby[:2]), 4),
        (replace(cascade, coarse_target=False), 4),
        (replace(cascade, coarse_pose="identity"), 5),
    ):
        assert asked(fewer, photo, ring()).shape[1] == count
        found = fewer(photo, runtime=CPU).latents
        assert found.isfinite().all()
        assert not any(torch.allclose(found, other, atol=1e-4) for other in seen)
        seen.append(found)


def test_nearby_cameras_are_turned_from_the_photo_and_stay_below_the_pole(photo: Photo) -> None:
    where = nearby_cameras(replace(photo, elevation_deg=20.0), CascadeZero123.nearby, 64)
    azimuth, elevation = where.azimuth_elevation_deg()
    torch.testing.assert_close(azimuth, torch.tensor([45.0, 315.0, 0.0]), atol=1e-3, rtol=0)
    torch.testing.assert_close(elevation, torch.tensor([20.0, 20.0, 50.0]), atol=1e-3, rtol=0)
    high = nearby_cameras(replace(photo, elevation_deg=70.0), (Nearby(0.0, 30.0),), 64)
    torch.testing.assert_close(high.azimuth_elevation_deg()[1], torch.tensor([85.0]), atol=1e-3, rtol=0)


def coloured_box() -> Mesh:
    """Red to the right of who looks from azimuth 0 (+y), blue to the left, green on top, white elsewhere."""
    box = trimesh.creation.box((0.5, 0.5, 0.5))
    sides = {(0, 1, 0): (1.0, 0, 0), (0, -1, 0): (0, 0, 1.0), (0, 0, 1): (0, 1.0, 0)}
    colours = [sides.get(tuple(normal), (1.0, 1.0, 1.0)) for normal in box.face_normals.round().astype(int).tolist()]
    corners = torch.tensor(box.triangles).float().flatten(0, 1)
    rgb = torch.tensor(colours).repeat_interleave(3, dim=0)
    return Mesh(corners, torch.arange(len(corners)).view(-1, 3), vertex_rgb=rgb)


def test_prompts_show_the_right_side_the_left_side_and_the_top_of_what_the_photo_shows_from_ahead(photo: Photo) -> None:
    ahead = replace(photo, elevation_deg=0.0)
    where = Cameras.joined([ahead.camera.resized(64, 64), nearby_cameras(ahead, CascadeZero123.nearby, 64)])
    rgb = render_mesh(coloured_box(), where).rgb
    shares = torch.stack(
        [(rgb[:, i] - rgb.sum(dim=1) + rgb[:, i] > 0.05).float().mean(dim=(1, 2)) for i in range(3)], 1
    )
    red, green, blue = 0, 1, 2
    assert (shares[0] < 0.01).all()
    for view, colour in ((1, red), (2, blue), (3, green)):
        assert shares[view].argmax() == colour
        assert shares[view, colour] > 0.02
        assert shares[view].sum() - shares[view, colour] < 0.01


@dataclass(frozen=True, kw_only=True)
class Recording(Zero123):
    """Keeps which views it was asked for."""

    calls: list[Cameras]

    def at(self, photo: Photo, cameras: Cameras, *, runtime: Runtime) -> LatentViews:
        self.calls.append(cameras)
        return super().at(photo, cameras, runtime=runtime)


def test_the_base_is_asked_once_for_the_nearby_and_the_wanted_views(cascade: CascadeZero123, photo: Photo) -> None:
    base = Recording(weights=cascade.weights, steps=2, calls=[])
    replace(cascade, base=base)(photo, runtime=CPU)
    assert len(base.calls) == 1
    centres = torch.cat([nearby_cameras(photo, cascade.nearby, 64).centres, ring().centres])
    torch.testing.assert_close(base.calls[0].centres, centres)


def test_a_view_more_changes_none_of_the_others(cascade: CascadeZero123, photo: Photo) -> None:
    wanted = ring(4)
    found = cascade.at(photo, wanted, runtime=CPU).latents
    torch.testing.assert_close(cascade.at(photo, wanted[[0, 1]], runtime=CPU).latents, found[:2], atol=1e-4, rtol=1e-4)


def poses_told(stage: CascadeZero123, photo: Photo, cameras: Cameras) -> list[torch.Tensor]:
    """What the tokens are made of, for every view that is asked for and last for the photo's own: first the pose from
    the photo, then those from the nearby views."""
    stage = replace(stage, coarse_target=False)
    parts = stage._photo_parts(CPU)
    object.__setattr__(stage, "_photo_parts", lambda runtime: parts)
    told: list[torch.Tensor] = []
    parts.token.register_forward_pre_hook(lambda _, given: told.append(given[1]))
    asked(stage, photo, cameras)
    return told


NO_TURN = torch.tensor([0.0, 0, 1, 0])


def test_tokens_tell_poses_from_the_prompts_true_cameras(cascade: CascadeZero123, photo: Photo) -> None:
    """Seen from a nearby camera, that camera's own token is that of no turn."""
    near = nearby_cameras(photo, cascade.nearby, 64)
    _, *from_near = poses_told(cascade, photo, near)
    for number, poses in enumerate(from_near):
        torch.testing.assert_close(poses[number], NO_TURN, atol=1e-5, rtol=0)
        assert not any(torch.allclose(pose, NO_TURN, atol=0.1) for i, pose in enumerate(poses) if i != number)


def test_the_turn_to_a_nearby_view_and_the_turn_from_there_make_the_turn_from_the_photo(
    cascade: CascadeZero123, photo: Photo
) -> None:
    torch.manual_seed(0)
    near = photo.camera.view_delta(nearby_cameras(photo, cascade.nearby, 64))
    views = [
        Cameras.on_sphere(azimuth, elevation, size=64, distance=1.5 + 0.1 * number)
        for number in range(5)
        for azimuth, elevation in [(360 * torch.rand(1), 140 * torch.rand(1) - 70)]
    ]
    whole, *rest = poses_told(cascade, photo, Cameras.joined(views))
    for first, poses in zip(near, rest, strict=True):
        azimuths = [torch.atan2(turn[..., 1], turn[..., 2]) for turn in (first, poses, whole)]
        torch.testing.assert_close(first[0] + poses[:, 0], whole[:, 0], atol=1e-5, rtol=0)
        torch.testing.assert_close((azimuths[0] + azimuths[1]).sin(), azimuths[2].sin(), atol=1e-5, rtol=0)
        torch.testing.assert_close((azimuths[0] + azimuths[1]).cos(), azimuths[2].cos(), atol=1e-5, rtol=0)
        torch.testing.assert_close(first[3] + poses[:, 3], whole[:, 3], atol=1e-5, rtol=0)


def test_a_nearby_view_that_would_climb_over_the_pole_stops_before_it_and_its_token_says_where(
    cascade: CascadeZero123, photo: Photo
) -> None:
    for elevation in (-80.0, -60.0, 0.0, 65.0, 88.0):
        tilted = replace(photo, elevation_deg=elevation)
        nearby = tuple(Nearby(0.0, turn) for turn in (-60.0, -30.0, 30.0, 60.0))
        reached = nearby_cameras(tilted, nearby, 64).azimuth_elevation_deg()
        assert (reached[1].abs() <= 85.001).all()
        assert torch.allclose(reached[0].cos(), torch.ones(4), atol=1e-3)
    stopped = Cameras.on_sphere(torch.zeros(1), torch.tensor([85.0]), size=64)
    _, near = poses_told(replace(cascade, nearby=(Nearby(0.0, 30.0),)), replace(photo, elevation_deg=70.0), stopped)
    torch.testing.assert_close(near[0], NO_TURN, atol=1e-5, rtol=0)


def test_tokens_are_a_set_their_order_and_their_number_of_copies_mean_nothing(
    folder: Path, cascade: CascadeZero123, photo: Photo
) -> None:
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    tokens, x = asked(cascade, photo, ring()), torch.randn(VIEWS, 8, 8, 8)
    with torch.no_grad():
        expected = unet(x, 500, tokens).sample
        torch.testing.assert_close(unet(x, 500, tokens.flip(1)).sample, expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(unet(x, 500, tokens.repeat(1, 2, 1)).sample, expected, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(unet(x, 500, tokens[:, :1]).sample, expected, atol=1e-4)


@dataclass(frozen=True, kw_only=True)
class FixedRig(ViewGenerator):
    """Three views of a ring and no others."""

    weights: str
    latent_space = "sd"

    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        return Zero123(weights=self.weights, steps=2, views=VIEWS)(photo, runtime=runtime)


def test_a_base_with_fixed_cameras_lends_its_nearest_views_under_their_true_cameras(
    cascade: CascadeZero123, photo: Photo
) -> None:
    base, reporter = FixedRig(weights=cascade.weights), Silent()
    assert not isinstance(base, FreeCameras)
    rigged = replace(cascade, base=base)
    coarse, near = rigged._prompts(photo, ring(), Runtime("cpu", reporter=reporter))
    assert coarse is not None
    assert near is not None
    torch.testing.assert_close(coarse.cameras.centres, ring().centres)
    torch.testing.assert_close(near.cameras.centres, ring().centres[[0, 0, 0]])
    assert "nearest prompts are at azimuth [0, 0, 0], elevation [30, 30, 30]" in reporter.warnings[0]
    _, *from_near = poses_told(rigged, photo, ring()[0])
    for poses in from_near:  # all three are the rig's first view, whatever was asked for
        torch.testing.assert_close(poses[0], NO_TURN, atol=1e-5, rtol=0)
    assert rigged(photo, runtime=CPU).latents.isfinite().all()


def test_the_refiner_can_read_from_the_photos_own_view_which_is_told_of_the_same_prompts(
    cascade: CascadeZero123, photo: Photo
) -> None:
    told, own = cascade._told(photo, ring(), CPU)
    assert own.tokens.shape == (1, *told.tokens.shape[1:])
    assert not torch.allclose(own.tokens, told.tokens[:1], atol=1e-3)
    layers = Layers(inside=("up_blocks",), resolutions=(8,))
    hero = ZeroToHero(use=("mutual",), mutual=MutualSelfAttention(window=Window(500), layers=layers))
    cascade = replace(cascade, skip_noisiest=False)
    found = replace(cascade, hero=hero)(photo, runtime=CPU).latents
    assert found.isfinite().all()
    assert not torch.allclose(found, cascade(photo, runtime=CPU).latents, atol=1e-4)


def test_bases_that_do_not_fit_are_refused(cascade: CascadeZero123, photo: Photo) -> None:
    with pytest.raises(StageMismatch, match=r"CoarsePrior.*'patch' latents"):
        replace(cascade, base=CoarsePrior())
    with pytest.raises(TypeError, match="weights"):
        CascadeZero123(base=cascade.base)  # type: ignore[call-arg]
    with pytest.raises(BadInput, match=r"FixedRig does not take these 4 views.*\n?.*coarse_target false"):
        replace(cascade, base=FixedRig(weights=cascade.weights), views=4)(photo, runtime=CPU)


def test_a_cascade_is_chosen_by_configuration(folder: Path, tmp_path: Path) -> None:
    preset = tmp_path / "cascade.yaml"
    preset.write_text(
        f"""
views:
  class_path: epimesh.stages.CascadeZero123
  init_args:
    weights: {folder}
    nearby: [{{azimuth_deg: 30}}, {{azimuth_deg: 0, elevation_deg: 20}}]
    base:
      class_path: epimesh.stages.Zero123
      init_args: {{weights: {folder}, steps: 25}}
"""
    )
    stage = pipeline_from(ImageTo3D, ["--preset=zero123-xl", f"--preset={preset}", "--views.base.steps=20"]).views
    assert isinstance(stage, CascadeZero123)
    assert stage.nearby == (Nearby(30.0), Nearby(0.0, 20.0))
    assert isinstance(stage.base, Zero123)
    assert stage.base.steps == 20
