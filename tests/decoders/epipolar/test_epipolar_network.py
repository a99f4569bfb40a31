"""The network begins as Stable Video Diffusion's decoder, bit for bit, and learns from there."""

import json
from itertools import accumulate
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderKLTemporalDecoder
from rigs import ball_depth, doubled
from torch.profiler import ProfilerActivity, profile

from epimesh.cameras import FOV_DEG, Cameras
from epimesh.decoders.epipolar.attention import MAX_BYTES
from epimesh.decoders.epipolar.network import EpipolarVae
from epimesh.decoders.epipolar.photo_source import view_of_photo
from epimesh.decoders.epipolar.temporal_layers import needed_bytes
from epimesh.errors import BadInput, BadWeights, StageMismatch
from epimesh.photo import Photo
from epimesh.weights.loading import load_network

VIEWS, SIZE = 4, 32
CAMERAS = Cameras.ring(VIEWS, size=SIZE)
DEPTH = ball_depth(doubled(CAMERAS)).float()
SETTINGS = {"samples": (3, 3, 2), "neighbours": 3, "margin": 0.2, "head_channels": 16}


@pytest.fixture(scope="module")
def svd() -> AutoencoderKLTemporalDecoder:
    torch.manual_seed(0)
    made = AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32, 64), down_block_types=("DownEncoderBlock2D",) * 3, layers_per_block=2
    )
    for name, parameter in made.named_parameters():
        if "mix_factor" in name:
            torch.nn.init.constant_(parameter, 0.7)  # so that both paths of every block count
    return made.eval()


@pytest.fixture(scope="module")
def svd_folder(svd: AutoencoderKLTemporalDecoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("svd") / "vae"
    svd.save_pretrained(folder)
    return folder


def network_of(folder: Path, front: str = "add", *, trained: bool = False) -> EpipolarVae:
    network = EpipolarVae.from_svd(folder, front=front, **SETTINGS).eval()
    if trained:
        for name, parameter in network.named_parameters():
            if not name.startswith("decoder."):
                torch.nn.init.normal_(parameter, std=0.2)
    return network


def decoded(network: EpipolarVae, latents: torch.Tensor, depth: torch.Tensor = DEPTH, **changed) -> torch.Tensor:
    photo = changed.pop("photo_rgb", torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)))
    camera = Cameras.ring(1, size=SIZE, first_azimuth_deg=20.0)
    with torch.no_grad():
        segments = network.segments(CAMERAS, depth, camera)
        return network(latents, segments, photo_rgb=photo, photo_view=0, **changed)


@pytest.mark.parametrize("front", ["add", "source", "none"])
def test_untrained_it_decodes_as_stable_video_diffusion_bit_for_bit(svd, svd_folder: Path, front: str) -> None:
    network, latents = network_of(svd_folder, front), torch.randn(VIEWS, 4, 8, 8)
    with torch.no_grad():
        expected = svd.decode(latents / svd.config.scaling_factor, num_frames=VIEWS).sample
        assert torch.equal(network(latents, None), expected)
    for depth in (DEPTH, torch.full_like(DEPTH, torch.inf), 3 * torch.rand_like(DEPTH) + 0.01):
        assert torch.equal(decoded(network, latents, depth, photo_rgb=torch.rand(1, 3, SIZE, SIZE)), expected)


def test_trained_it_lets_views_see_each_other_only_where_depth_is_known(svd_folder: Path) -> None:
    network, latents = network_of(svd_folder, "none", trained=True), torch.randn(VIEWS, 4, 8, 8)
    plain = network(latents, None)
    assert (decoded(network, latents) - plain).abs().max() > 0.01
    assert torch.equal(decoded(network, latents, torch.full_like(DEPTH, torch.inf)), plain)


def test_the_photo_reaches_its_view_or_all_views_that_look_at_it(svd_folder: Path) -> None:
    latents, photo = torch.randn(VIEWS, 4, 8, 8), torch.rand(1, 3, SIZE, SIZE)
    nowhere = torch.full_like(DEPTH, torch.inf)
    for front, depth, reaches in (("add", nowhere, True), ("source", nowhere, False), ("source", DEPTH, True)):
        network = network_of(svd_folder, front, trained=True)
        change = decoded(network, latents, depth, photo_rgb=photo) - decoded(
            network, latents, depth, photo_rgb=1 - photo
        )
        assert bool(change.abs().max() > 1e-3) == reaches
    with pytest.raises(ValueError, match="front is 'source': give photo_rgb"):
        decoded(network, latents, photo_rgb=None)


@pytest.mark.parametrize(("front", "max_bytes"), [("add", 1), ("source", 60_000), ("none", 2**25)])
def test_one_view_after_the_other_gives_the_same_images_in_bands_of_any_height(svd_folder, front, max_bytes) -> None:
    network = network_of(svd_folder, front, trained=True).double()
    latents, photo = torch.randn(VIEWS, 4, 8, 8).double(), torch.rand(1, 3, SIZE, SIZE).double()
    before = latents.clone()
    whole = decoded(network, latents, photo_rgb=photo)
    spared = decoded(network, latents, photo_rgb=photo, view_by_view=True, max_bytes=max_bytes)
    torch.testing.assert_close(spared, whole, atol=1e-11, rtol=1e-11)
    with torch.no_grad():
        plain, plainly_spared = network(latents, None), network(latents, None, view_by_view=True, max_bytes=max_bytes)
    torch.testing.assert_close(plainly_spared, plain, atol=1e-11, rtol=1e-11)
    assert torch.equal(latents, before)


def test_one_view_after_the_other_holds_less_and_what_was_foreseen(svd_folder: Path) -> None:
    views, size = 8, 64
    network = EpipolarVae.from_svd(svd_folder, front="add", samples=(3, 3, 2), neighbours=3).eval()
    cameras = Cameras.ring(views, size=size)
    segments = network.segments(cameras, ball_depth(doubled(cameras)).float())
    latents, photo = torch.randn(views, 4, size // 4, size // 4), torch.rand(1, 3, size, size)

    def largest(view_by_view: bool) -> int:
        with torch.no_grad(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as noted:
            network(latents, segments, photo_rgb=photo, photo_view=0, view_by_view=view_by_view, max_bytes=200_000)
        events = [event for event in noted.profiler.kineto_results.events() if event.name() == "[memory]"]
        return max(accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())))

    spared = largest(view_by_view=True)
    assert spared < 0.6 * largest(view_by_view=False)
    foreseen = needed_bytes((32, 32, 64), 3, views, size * size, 4) - MAX_BYTES + 200_000
    assert 0.7 * foreseen < spared < 1.2 * foreseen


def test_saved_and_loaded_it_gives_the_same_images_and_knows_what_it_was_trained_for(svd_folder, tmp_path) -> None:
    network, latents = network_of(svd_folder, trained=True), torch.randn(VIEWS, 4, 8, 8)
    network.save_pretrained(tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert (config["neighbours"], config["samples"], config["margin"]) == (3, [3, 3, 2], 0.2)
    assert (config["slot_order"], config["front"], config["head_channels"]) == ("ring", "add", 16)
    for loaded in (load_network(EpipolarVae, tmp_path / "saved"), EpipolarVae.from_pretrained(tmp_path / "saved")):
        assert torch.equal(decoded(loaded.eval(), latents), decoded(network, latents))
    config["neighbours"] = 2
    (tmp_path / "saved" / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadWeights, match="of another shape"):
        load_network(EpipolarVae, tmp_path / "saved")


def test_two_steps_of_training_reach_every_new_weight(svd_folder: Path) -> None:
    network = network_of(svd_folder).train()
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    segments = network.segments(CAMERAS, DEPTH, generator=torch.Generator().manual_seed(0))
    latents, target, photo = (
        torch.randn(VIEWS, 4, 8, 8),
        torch.randn(VIEWS, 3, SIZE, SIZE),
        torch.rand(1, 3, SIZE, SIZE),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        (network(latents, segments, photo_rgb=photo, photo_view=0) - target).square().mean().backward()
        optimizer.step()
    still = {name for name, parameter in network.named_parameters() if torch.equal(parameter, before[name])}
    assert not still


def test_checkpoints_save_memory_and_change_no_gradient(svd_folder: Path) -> None:
    network = network_of(svd_folder, trained=True)
    segments, latents = network.segments(CAMERAS, DEPTH), torch.randn(VIEWS, 4, 8, 8)
    photo, weights = torch.rand(1, 3, SIZE, SIZE), torch.randn(VIEWS, 3, SIZE, SIZE)

    def gradients() -> tuple[list[torch.Tensor], int]:
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda saved: kept.append(saved.numel()) or saved, lambda x: x):
            out = network(latents, segments, photo_rgb=photo, photo_view=0)
        return list(torch.autograd.grad((out * weights).sum(), list(network.parameters()))), sum(kept)

    plain, much = gradients()
    network.enable_gradient_checkpointing()
    again, little = gradients()
    assert little < much / 3
    for found, expected in zip(again, plain, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_points_are_random_within_their_strata_in_training_and_in_the_middle_otherwise(svd_folder: Path) -> None:
    network = network_of(svd_folder)
    still, again = network.segments(CAMERAS, DEPTH), network.segments(CAMERAS, DEPTH)
    one, two, three = (
        network.segments(CAMERAS, DEPTH, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    for level in range(3):
        assert torch.equal(still[level].positions, again[level].positions)
        assert torch.equal(one[level].positions, two[level].positions)
        assert not torch.equal(one[level].positions, three[level].positions)
    assert [tuple(part.positions.shape[1:4]) for part in still] == [(8, 8, 3), (16, 16, 3), (32, 32, 2)]


def test_what_cannot_be_decoded_is_refused_before_any_network_runs(svd_folder: Path) -> None:
    network = network_of(svd_folder)
    with pytest.raises(StageMismatch, match="Found 3 views, but every view looks at 3 others"):
        network.segments(CAMERAS[:3], DEPTH[:3])
    with pytest.raises(BadInput, match="Depth is nan"):
        network.segments(CAMERAS, torch.full_like(DEPTH, torch.nan))
    with pytest.raises(BadInput, match="Depth has 30 x 32 pixels, and the decoder a map of 7 x 8"):
        network.segments(CAMERAS, DEPTH[:, :30])
    with pytest.raises(ValueError, match="one number of samples per up-block"):
        EpipolarVae(block_out_channels=(32, 32), samples=(3,))
    with pytest.raises(ValueError, match="slot_order is ring; got add and nearest"):
        EpipolarVae(block_out_channels=(32,), samples=(3,), slot_order="nearest")


def test_folders_that_hold_no_video_decoder_are_refused(svd_folder: Path, tmp_path: Path) -> None:
    AutoencoderKL(block_out_channels=(32,)).save_pretrained(tmp_path / "kl")
    with pytest.raises(BadWeights, match=r"holds a AutoencoderKL.*[^$]*stable-video-diffusion"):
        EpipolarVae.from_svd(tmp_path / "kl")
    config = json.loads((svd_folder / "config.json").read_text()) | {"layers_per_block": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadWeights, match="has no decoder that fits its config"):
        EpipolarVae.from_svd(tmp_path, **SETTINGS)
    weights = "diffusion_pytorch_model.safetensors"
    (tmp_path / weights).write_bytes((svd_folder / weights).read_bytes())
    with pytest.raises(BadWeights, match="Unexpected key"):
        EpipolarVae.from_svd(tmp_path, **SETTINGS)


def test_the_photo_belongs_to_the_view_with_its_camera() -> None:
    photo = Photo(torch.rand(4, 64, 64), 30.0, FOV_DEG)
    assert view_of_photo(CAMERAS, photo.camera) == 0
    assert view_of_photo(CAMERAS[[2, 3, 0]], photo.camera) == 2
    for other in (Photo(photo.rgba, 29.0, FOV_DEG), Photo(photo.rgba, 30.0, FOV_DEG + 1)):
        with pytest.raises(StageMismatch, match=r"None of the views has the photo's camera[^$]*front: source"):
            view_of_photo(CAMERAS, other.camera)
