"""The small decoder begins as the patch autoencoder's, bit for bit, and then lets views and photo see each other."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from rigs import ball_depth, doubled, orthographic
from safetensors.torch import save_file

from epimesh.artifact import Artifact
from epimesh.cameras import FOV_DEG, Cameras
from epimesh.decoders import CoarseDepth, GivenDepth, SmallEpipolarDecoder, VaeDecoder
from epimesh.decoders.epipolar.batched_attention import dense_attention
from epimesh.decoders.epipolar.depth import filled_depth, grown_depth
from epimesh.decoders.epipolar.geometry import Segments
from epimesh.decoders.epipolar.reference import literal_attention
from epimesh.decoders.epipolar.small_network import SmallEpipolarVae
from epimesh.diffusion.patch_autoencoder import PatchAutoencoder
from epimesh.errors import BadInput, StageMismatch
from epimesh.photo import Photo
from epimesh.pipeline.contracts import Reconstructor
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.reconstruction import VisualHull
from epimesh.runtime import Runtime
from epimesh.surface import GridSurface, Surface
from epimesh.views import LatentViews, Views

CPU = Runtime("cpu")
VIEWS, SIZE = 5, 32
RING = Cameras.ring(VIEWS, size=SIZE)
DEPTH = ball_depth(doubled(RING)).float()


def network(*, trained: bool) -> SmallEpipolarVae:
    torch.manual_seed(0)
    plain = PatchAutoencoder(6, 8, (16, 16, 8), 1)
    torch.nn.init.normal_(plain.basis, std=0.1)
    torch.nn.init.normal_(plain.residual[-2].weight, std=0.1)
    made = SmallEpipolarVae.from_plain(plain, samples=(3, 2, 3), neighbours=2, margin=0.2, head_channels=8)
    if trained:
        for name, parameter in made.named_parameters():
            if not name.startswith("plain."):
                torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def photo_cameras(objects: int) -> Cameras:
    return Cameras.on_sphere(torch.zeros(objects), torch.linspace(5, 40, objects), size=SIZE)


def inputs(objects: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    depth = DEPTH + 0.05 * torch.rand(objects, VIEWS, SIZE, SIZE, generator=random)
    latents = torch.randn(objects, VIEWS, 6, SIZE // 8, SIZE // 8, generator=random)
    return latents, depth, torch.rand(objects, 3, SIZE, SIZE, generator=random)


@torch.no_grad()
def decoded(made: SmallEpipolarVae, latents: torch.Tensor, depth: torch.Tensor, photo: torch.Tensor) -> torch.Tensor:
    return made(latents, made.segments(RING, photo_cameras(len(depth)), depth), photo)


def test_an_untrained_network_decodes_as_the_patch_autoencoder_does_bit_for_bit() -> None:
    latents, depth, photo = inputs()
    made = network(trained=False)
    plain = made.plain.decode(latents.flatten(0, 1)).unflatten(0, (2, VIEWS))
    assert torch.equal(decoded(made, latents, depth, photo), plain)
    assert torch.equal(decoded(made, latents, torch.full_like(depth, torch.inf), photo), plain)


def test_the_bundled_autoencoder_can_be_continued_and_stays_below_four_megabytes() -> None:
    from epimesh.weights import resolve
    from epimesh.weights.loading import load_network

    made = SmallEpipolarVae.from_plain(load_network(PatchAutoencoder, resolve("bundled:patch-vae")))
    assert 1e6 < sum(tensor.numel() for tensor in made.state_dict().values()) < 2e6


def test_objects_of_a_batch_do_not_see_each_other() -> None:
    latents, depth, photo = inputs()
    made = network(trained=True)
    together = decoded(made, latents, depth, photo)
    with torch.no_grad():
        segments = made.segments(RING, photo_cameras(2)[1], depth[1:])
        alone = made(latents[1:], segments, photo[1:])
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-4)


def test_views_decoded_for_themselves_are_those_decoded_with_all() -> None:
    latents, depth, photo = inputs()
    made = network(trained=True)
    targets = torch.tensor([[3, 0], [1, 4]])
    with torch.no_grad():
        some = made(latents, made.segments(RING, photo_cameras(2), depth, targets), photo, targets)
    everything = decoded(made, latents, depth, photo)
    wanted = torch.stack([everything[0, [3, 0]], everything[1, [1, 4]]])
    torch.testing.assert_close(some, wanted, atol=1e-5, rtol=1e-4)


def test_a_view_depends_on_its_neighbours_and_on_the_photo_only_where_the_depth_is_known() -> None:
    latents, depth, photo = inputs(1)
    made = network(trained=True)
    before = decoded(made, latents, depth, photo)
    other_photo = decoded(made, latents, depth, 1 - photo)
    elsewhere = latents.clone()
    elsewhere[:, 1] += 1
    assert not torch.allclose(other_photo, before)
    assert not torch.allclose(decoded(made, elsewhere, depth, photo)[:, 0], before[:, 0])

    unknown = torch.full_like(depth, torch.inf)
    before = decoded(made, latents, unknown, photo)
    assert torch.equal(decoded(made, latents, unknown, 1 - photo), before)
    assert torch.equal(decoded(made, elsewhere, unknown, photo)[:, 0], before[:, 0])


@pytest.mark.parametrize("heads", [1, 3])
def test_the_dense_attention_is_the_literal_one_in_values_and_gradients(heads: int) -> None:
    from epimesh.decoders.epipolar.attention import EpipolarAttention

    torch.manual_seed(0)
    made = network(trained=False)
    layer = EpipolarAttention(12, 3, head_channels=12 // heads, norm_groups=4).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    _, depth, _ = inputs(1)
    level = made.segments(RING, photo_cameras(1), depth)[2]
    level = Segments(level.sources, level.positions.double(), level.visible, level.rays.double())
    maps = torch.randn(VIEWS + 1, 12, 16, 16, dtype=torch.double, requires_grad=True)
    ours = dense_attention(layer, maps, torch.arange(VIEWS), level)
    literal = literal_attention(layer, maps[:VIEWS], level, maps[VIEWS:])
    torch.testing.assert_close(ours, literal, atol=1e-10, rtol=1e-10)

    weight = torch.randn_like(ours)
    wanted = [maps, *layer.parameters()]
    for one, other in zip(
        torch.autograd.grad((ours * weight).sum(), wanted, allow_unused=True),
        torch.autograd.grad((literal * weight).sum(), wanted, allow_unused=True),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-8, rtol=1e-8)


def test_growing_reaches_as_far_as_its_steps_and_keeps_what_is_known() -> None:
    depth = torch.full((2, 9, 9), torch.inf)
    depth[:, 4, 4] = torch.tensor([1.25, 1.75])
    grown = grown_depth(depth, 2)
    assert torch.equal(grown.isfinite()[0], filled_depth(depth, reach_px=3).isfinite()[0] & near(4, 2, 9))
    assert torch.equal(grown[:, 4, 4], depth[:, 4, 4])
    torch.testing.assert_close(grown[1, 3:6, 2:7], torch.full((3, 5), 1.75))


def near(centre: int, reach: int, size: int) -> torch.Tensor:
    inside = (torch.arange(size) - centre).abs() <= reach
    return inside[:, None] & inside


@dataclass(frozen=True, kw_only=True)
class TintedBall(Reconstructor):
    """A ball, the larger the brighter the views are."""

    def __call__(self, views: Views, photo: Photo | None, *, runtime: Runtime) -> Surface:
        axis = torch.linspace(-1, 1, 32)
        grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
        radius = 0.2 + 0.2 * float(views.rgb.mean())
        return GridSurface(grid.norm(dim=-1) - radius, torch.zeros(3, 2, 2, 2), 1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network(trained=True).save_pretrained(tmp_path / "weights")
    save_file({"depth": DEPTH}, tmp_path / "depth.safetensors")
    return tmp_path


def latent_views(cameras: Cameras = RING, channels: int = 6, family: str = "patch") -> LatentViews:
    torch.manual_seed(2)
    photo = Photo(torch.rand(4, 48, 48), 12.0, FOV_DEG)
    return LatentViews(torch.randn(len(cameras), channels, 4, 4), cameras, photo, family)


def stage(folder: Path) -> SmallEpipolarDecoder:
    return SmallEpipolarDecoder(weights=str(folder / "weights"), depth=GivenDepth(file=folder / "depth.safetensors"))


def test_the_stage_makes_what_the_saved_network_makes(folder: Path) -> None:
    given = latent_views()
    views = stage(folder)(given, runtime=CPU)
    photo = given.photo.resized(SIZE)
    made = network(trained=True)
    with torch.no_grad():
        rgba = made(given.latents[None], made.segments(RING, photo.camera, DEPTH[None]), photo.on_white()[None])[0]
    torch.testing.assert_close(torch.cat([views.rgb, views.alpha], dim=1), rgba.clamp(0, 1))
    assert isinstance(views, Artifact)
    assert views.cameras is given.cameras


def test_an_untrained_stage_is_the_plain_decoder(folder: Path) -> None:
    made = network(trained=False)
    made.save_pretrained(folder / "weights")
    made.plain.save_pretrained(folder / "plain")
    given = latent_views()
    plain = VaeDecoder(weights=str(folder / "plain"), batch=VIEWS)(given, runtime=CPU)
    views = stage(folder)(given, runtime=CPU)
    assert torch.equal(views.rgb, plain.rgb)
    assert torch.equal(views.alpha, plain.alpha)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (latent_views(family="sd"), StageMismatch, "family 'sd'"),
        (latent_views(channels=4), StageMismatch, "with 4 channels"),
        (latent_views(RING.resized(64, 64)), StageMismatch, "see 64 x 64"),
        (latent_views(RING[[0, 2, 1, 3, 4]]), StageMismatch, "ring order"),
        (latent_views(Cameras.ring(2, size=SIZE)), StageMismatch, "looks at 2 others"),
        (latent_views(orthographic(RING)), StageMismatch, "orthographic"),
        (latent_views(Cameras.ring(6, size=SIZE)), BadInput, "6 views of 32 x 32"),
    ],
)
def test_what_does_not_fit_is_refused(folder: Path, given: LatentViews, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        stage(folder)(given, runtime=CPU)


def test_a_single_view_is_decoded_plainly_and_needs_no_depth(folder: Path) -> None:
    network(trained=True).plain.save_pretrained(folder / "plain")
    one = latent_views(RING[0])
    decoder = SmallEpipolarDecoder(weights=str(folder / "weights"), depth=GivenDepth(file=folder / "nowhere"))
    plain = VaeDecoder(weights=str(folder / "plain"))(one, runtime=CPU)
    assert torch.equal(decoder(one, runtime=CPU).rgb, plain.rgb)


def test_a_second_round_is_a_decoder_inside_the_depth_of_another(folder: Path) -> None:
    network(trained=True).plain.save_pretrained(folder / "plain")
    quick = CoarseDepth(decode=VaeDecoder(weights=str(folder / "plain")), reconstruct=TintedBall())
    once = SmallEpipolarDecoder(weights=str(folder / "weights"), depth=quick)
    first, twice = (replace(once, rounds=rounds)(latent_views(), runtime=CPU) for rounds in (1, 2))
    by_hand = replace(once, depth=replace(quick, decode=once))(latent_views(), runtime=CPU)
    assert torch.equal(twice.rgb, by_hand.rgb)
    assert not torch.equal(twice.rgb, first.rgb)


def test_depth_that_cannot_be_is_refused(folder: Path) -> None:
    save_file({"depth": torch.where(DEPTH.isfinite(), -DEPTH, DEPTH)}, folder / "depth.safetensors")
    with pytest.raises(BadInput, match="not positive"):
        stage(folder)(replace(latent_views()), runtime=CPU)


def test_a_preset_decodes_by_it_after_a_quick_hull(tmp_path: Path) -> None:
    tweak = tmp_path / "epipolar.yaml"
    tweak.write_text(
        """
decode:
  class_path: epimesh.decoders.SmallEpipolarDecoder
  init_args:
    weights: nowhere
    depth:
      class_path: epimesh.decoders.CoarseDepth
      init_args:
        decode: {class_path: epimesh.decoders.VaeDecoder}
        reconstruct: {class_path: epimesh.reconstruction.VisualHull}
"""
    )
    quick = CoarseDepth(decode=VaeDecoder(), reconstruct=VisualHull())
    expected = SmallEpipolarDecoder(weights="nowhere", depth=quick)
    assert ImageTo3D.from_preset("small", str(tweak)).decode == expected
