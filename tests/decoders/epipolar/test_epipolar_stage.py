"""The stage finds rough depth, decodes all views together, and refuses what does not fit before any work."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from diffusers import AutoencoderKL
from rigs import RADIUS, ball_depth, doubled, orthographic
from safetensors.torch import save_file

from epimesh.cameras import FOV_DEG, Cameras
from epimesh.decoders import CoarseDepth, EpipolarDecoder, GivenDepth, VaeDecoder
from epimesh.decoders.epipolar.depth_guided import report_depth
from epimesh.decoders.epipolar.network import EpipolarVae
from epimesh.errors import BadInput, BadWeights, StageMismatch
from epimesh.photo import Photo
from epimesh.pipeline.contracts import Reconstructor, Stage
from epimesh.pipeline.fingerprint import fingerprint, weights_of
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.reconstruction import VisualHull
from epimesh.runtime import Runtime, Silent
from epimesh.surface import GridSurface, Surface
from epimesh.views import LatentViews, Views

CPU = Runtime("cpu")
SIZE = 32
RING = Cameras.ring(4, size=SIZE)


@dataclass(frozen=True, kw_only=True)
class KnownBall(Reconstructor):
    """A ball whose depth is known in closed form. Notes what it was shown."""

    shown: ClassVar[list[Views]] = []

    def __call__(self, views: Views, photo: Photo | None, *, runtime: Runtime) -> Surface:
        self.shown.append(views)
        axis = torch.linspace(-1, 1, 64)
        grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
        return GridSurface(grid.norm(dim=-1) - RADIUS, torch.zeros(3, 2, 2, 2), 1.0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random networks, with one for each way to use the photo, and a plain decoder."""
    home = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    AutoencoderKL(
        block_out_channels=(32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
    ).save_pretrained(home / "plain")
    for front in ("add", "source", "none"):
        network = EpipolarVae((32, 32, 32), 1, samples=(3, 3, 2), neighbours=3, margin=0.2, front=front)
        for name, parameter in network.named_parameters():
            if not name.startswith("decoder."):
                torch.nn.init.normal_(parameter, std=0.2)
        network.save_pretrained(home / front)
    save_file({"depth": ball_depth(doubled(RING)).float()}, home / "depth.safetensors")
    return home


def latents(cameras: Cameras = RING, family: str = "sd", channels: int = 4) -> LatentViews:
    torch.manual_seed(1)
    photo = Photo(torch.rand(4, 48, 48), 30.0, FOV_DEG)
    return LatentViews(torch.randn(len(cameras), channels, 8, 8), cameras, photo, family)


def given(folders: Path, front: str = "add") -> EpipolarDecoder:
    return EpipolarDecoder(weights=str(folders / front), depth=GivenDepth(file=folders / "depth.safetensors"))


def coarse(folders: Path) -> EpipolarDecoder:
    plain = VaeDecoder(weights=str(folders / "plain"), latent_space="sd")
    return EpipolarDecoder(weights=str(folders / "add"), depth=CoarseDepth(decode=plain, reconstruct=KnownBall()))


def test_rough_depth_is_that_of_the_surface_found_from_plainly_decoded_views(folders: Path) -> None:
    KnownBall.shown.clear()
    decoder = coarse(folders)
    views = decoder(latents(), runtime=CPU)
    plain = VaeDecoder(weights=str(folders / "plain"), latent_space="sd")(latents(), runtime=CPU)
    assert torch.equal(KnownBall.shown[0].rgb, plain.rgb)
    depth, exact = decoder.depth(latents(), runtime=CPU), ball_depth(doubled(RING)).float()
    both = depth.isfinite() & exact.isfinite()
    assert both.sum() > 0.9 * exact.isfinite().sum()
    assert (depth - exact)[both].abs().max() < 0.03
    given_depth = given(folders)(latents(), runtime=CPU)
    assert (views.rgb - given_depth.rgb).abs().mean() < 0.01  # the same but for a rough ball's depth


def test_views_have_the_cameras_of_the_latents_and_lie_between_0_and_1(folders: Path) -> None:
    for front in ("add", "source", "none"):
        made = latents()
        views = given(folders, front)(made, runtime=CPU)
        assert views.cameras is made.cameras
        assert views.rgb.shape == (4, 3, SIZE, SIZE)
        assert float(views.rgb.min()) >= 0
        assert float(views.rgb.max()) <= 1
        assert torch.equal(views.alpha[:, 0] > 0, (1 - views.rgb).amax(1) > 0.05)
        assert torch.equal(given(folders, front)(made, runtime=CPU).rgb, views.rgb)


def test_a_limit_of_memory_changes_no_image_and_one_that_cannot_be_kept_is_named(folders: Path) -> None:
    for front, limit_bytes in (("add", 10**12), ("source", 10_000)):
        runtime = replace(CPU, reporter=Silent(), max_memory_bytes=limit_bytes)
        views, whole = given(folders, front)(latents(), runtime=runtime), given(folders, front)(latents(), runtime=CPU)
        assert (views.rgb - whole.rgb).abs().max() < 1e-6
        warned = [warning for warning in runtime.reporter.warnings if "--max-memory" in warning]
        assert bool(warned) == (limit_bytes == 10_000)
    assert "--max-memory is 0.00 GB, but decoding 4 views of 32 x 32 pixels takes about" in warned[0]
    assert "in use already). It goes on and will exceed the limit." in warned[0]


def test_the_share_of_the_object_whose_depth_is_known_is_noted_and_little_is_warned_of(folders: Path, tmp_path) -> None:
    depth = torch.full((4, SIZE, SIZE), 1.5)
    for known_rows, share in ((SIZE, "100%"), (SIZE // 4, "25%")):
        depth[:, known_rows:] = torch.inf
        save_file({"depth": depth}, tmp_path / "depth.safetensors")
        runtime = replace(CPU, reporter=Silent())
        views = Views(rgb=torch.zeros(4, 3, SIZE, SIZE), alpha=torch.ones(4, 1, SIZE, SIZE), cameras=RING)
        report_depth(depth, views, runtime.reporter)
        assert runtime.reporter.notes == [f"Rough depth is known at {share} of the object's pixels."]
        assert [f"at only {share} of" in warning for warning in runtime.reporter.warnings] == [True] * (share == "25%")
    decoder = EpipolarDecoder(weights=str(folders / "none"), depth=GivenDepth(file=tmp_path / "depth.safetensors"))
    decoder(latents(), runtime=(heard := replace(CPU, reporter=Silent())))
    assert "of the object's pixels" in heard.reporter.notes[0]


def test_a_second_round_is_a_decoder_inside_the_depth_of_another(folders: Path) -> None:
    once, made = coarse(folders), latents()
    assert isinstance(once.depth, CoarseDepth)
    by_hand = replace(once, depth=replace(once.depth, decode=once))
    KnownBall.shown.clear()
    twice = replace(once, rounds=2)(made, runtime=CPU)
    assert len(KnownBall.shown) == 2
    assert torch.equal(KnownBall.shown[1].rgb, once(made, runtime=CPU).rgb)
    assert torch.equal(twice.rgb, by_hand(made, runtime=CPU).rgb)


def test_rounds_need_depth_that_can_get_better(folders: Path) -> None:
    with pytest.raises(BadInput, match=r"rounds is 2, but the depth of a GivenDepth is the same[^$]*CoarseDepth"):
        replace(given(folders), rounds=2)
    with pytest.raises(BadInput, match=r"rounds is 0.\nExpected at least 1"):
        replace(coarse(folders), rounds=0)


def test_depth_matters_and_without_any_the_views_are_decoded_plainly_with_a_warning(folders: Path, tmp_path) -> None:
    save_file({"depth": torch.full((4, SIZE, SIZE), torch.inf)}, tmp_path / "none.safetensors")
    runtime = replace(CPU, reporter=Silent())
    decoder = EpipolarDecoder(weights=str(folders / "none"), depth=GivenDepth(file=tmp_path / "none.safetensors"))
    plain = decoder(latents(), runtime=runtime)
    with torch.no_grad():
        expected = (decoder.network(latents().latents, None) / 2 + 0.5).clamp(0, 1)
    assert torch.equal(plain.rgb, expected)
    assert runtime.reporter.warnings == ["No depth is known in any view: they are decoded without seeing each other."]
    assert (given(folders, "none")(latents(), runtime=CPU).rgb - plain.rgb).abs().max() > 0.01


def test_a_single_view_is_decoded_plainly_and_needs_no_depth(folders: Path) -> None:
    decoder = EpipolarDecoder(weights=str(folders / "add"), depth=GivenDepth(file=folders / "nowhere"))
    one = latents(RING[0])
    with torch.no_grad():
        expected = (decoder.network(one.latents, None) / 2 + 0.5).clamp(0, 1)
    assert torch.equal(decoder(one, runtime=CPU).rgb, expected)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (latents(family="patch"), r"family 'patch' with 4 channels, but .* decodes 'sd' with 4[^$]*--decode.weights"),
        (latents(channels=6), r"family 'sd' with 6 channels"),
        (latents(RING[:3]), r"Found 3 views, but every view looks at 3 others"),
        (latents(RING[[0, 2, 1, 3]]), r"azimuths \[0, 180, 90, 270\] degrees[^$]*ring order"),
        (latents(RING[[0, 1, 1, 2]]), r"azimuths \[0, 90, 90, 180\] degrees"),
        (latents(Cameras.ring(4, size=SIZE, first_azimuth_deg=10.0)), r"None of the views has the photo's camera"),
        (latents(RING.resized(64, 64)), r"decode to 32 x 32 pixels, but their cameras see 64 x 64"),
    ],
    ids=["family", "channels", "too few", "order", "twice", "no photo", "size"],
)
def test_latents_that_do_not_fit_are_refused_before_depth_is_looked_for(folders: Path, made, words: str) -> None:
    decoder = EpipolarDecoder(weights=str(folders / "add"), depth=GivenDepth(file=folders / "nowhere"))
    with pytest.raises(StageMismatch, match=words):
        decoder(made, runtime=CPU)


def test_a_ring_may_go_either_way_and_begin_anywhere(folders: Path) -> None:
    for order in ([3, 2, 1, 0], [2, 3, 0, 1]):
        assert len(given(folders)(latents(RING[order]), runtime=CPU)) == 4


def test_a_pinhole_photo_is_no_source_for_orthographic_views(folders: Path) -> None:
    with pytest.raises(StageMismatch, match=r"orthographic cameras, but the photo[^$]*front: none"):
        given(folders, "source")(latents(orthographic(RING)), runtime=CPU)
    assert len(given(folders, "none")(latents(orthographic(RING)), runtime=CPU)) == 4


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"depth": torch.full((4, SIZE, SIZE), torch.nan)}, "Depth is nan at view 0, row 0, column 0"),
        ({"depth": torch.full((4, SIZE, SIZE), -1.0)}, r"Depth is -1\.0 at view 0"),
        ({"depth": torch.ones(4, SIZE, SIZE - 1)}, r"shape \(4, 32, 31\)[^$]*4 views of 32 x 32"),
        ({"depth": torch.ones(3, SIZE, SIZE)}, r"shape \(3, 32, 32\)"),
        ({"depth": torch.ones(SIZE, SIZE)}, r"has the shape \(32, 32\)[^$]*views x height x width"),
        ({"rgb": torch.ones(4, 3, SIZE, SIZE)}, r"holds no depth[^$]*tensor 'depth'"),
    ],
    ids=["nan", "negative", "size", "views", "dimensions", "none"],
)
def test_depth_that_cannot_be_used_is_refused_with_a_reason(folders: Path, tmp_path: Path, stored, words: str) -> None:
    save_file(stored, tmp_path / "depth.safetensors")
    decoder = EpipolarDecoder(weights=str(folders / "add"), depth=GivenDepth(file=tmp_path / "depth.safetensors"))
    with pytest.raises(BadInput, match=words):
        decoder(latents(), runtime=CPU)


def test_weights_of_another_kind_and_depth_that_is_not_there_are_refused(folders: Path) -> None:
    with pytest.raises(BadWeights, match=r"holds a AutoencoderKL.\nExpected a EpipolarVae"):
        given(folders, "plain")(latents(), runtime=CPU)
    decoder = EpipolarDecoder(weights=str(folders / "add"), depth=GivenDepth(file=folders / "nowhere"))
    with pytest.raises(BadInput, match="nowhere holds no depth"):
        decoder(latents(), runtime=CPU)


def test_making_it_costs_nothing_and_release_drops_everything(folders: Path) -> None:
    EpipolarDecoder(weights="nowhere", depth=GivenDepth(file=Path("nowhere")))
    decoder = coarse(folders)
    decoder(latents(), runtime=CPU)
    assert isinstance(decoder.depth, CoarseDepth)
    assert "autoencoder" not in decoder.depth.decode.__dict__
    decoder.release()
    assert set(decoder.__dict__) == {"weights", "depth", "rounds", "latent_space", "coverage"}


def test_what_the_depth_comes_from_counts_in_the_fingerprint(folders: Path, tmp_path: Path) -> None:
    first = coarse(folders)
    assert isinstance(first.depth, CoarseDepth)
    smaller = replace(first.depth.decode, batch=1)  # type: ignore[type-var]
    stages: list[Stage] = [first, replace(first, depth=replace(first.depth, decode=smaller)), given(folders)]
    save_file({"depth": torch.ones(1, 2, 2)}, tmp_path / "depth.safetensors")
    stages.append(EpipolarDecoder(weights=str(folders / "add"), depth=GivenDepth(file=tmp_path / "depth.safetensors")))
    assert len({fingerprint(stage) for stage in stages}) == 4
    assert weights_of(first) == [str(folders / "add"), str(folders / "plain")]


def test_a_preset_nests_the_stages_of_the_first_pass(tmp_path: Path) -> None:
    tweak = tmp_path / "epipolar.yaml"
    tweak.write_text(
        """
decode:
  class_path: epimesh.decoders.EpipolarDecoder
  init_args:
    weights: nowhere
    latent_space: patch
    depth:
      class_path: epimesh.decoders.CoarseDepth
      init_args:
        decode: {class_path: epimesh.decoders.VaeDecoder, init_args: {batch: 2}}
        reconstruct: {class_path: epimesh.reconstruction.VisualHull, init_args: {resolution: 48}}
"""
    )
    decode = ImageTo3D.from_preset("small", str(tweak)).decode
    hull = VisualHull(resolution=48)
    depth = CoarseDepth(decode=VaeDecoder(batch=2), reconstruct=hull)
    assert decode == EpipolarDecoder(weights="nowhere", latent_space="patch", depth=depth)
