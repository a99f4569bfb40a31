"""What the epipolar decoder is compared with differs from it in what it is said to, and in nothing else."""

from pathlib import Path

import pytest
import torch

from epimesh.cameras import Cameras
from epimesh.decoders.epipolar.small_network import SmallEpipolarVae
from epimesh.diffusion.patch_autoencoder import PatchAutoencoder
from epimesh.training.data.picture_buffer import RingWithDepth
from epimesh.training.epipolar.small_variants import VARIANTS, VariantTraining
from epimesh.weights.loading import load_network

VIEWS, SIZE = 6, 32


@pytest.fixture
def plain(tmp_path: Path) -> str:
    torch.manual_seed(0)
    PatchAutoencoder(6, widths=(16, 16, 8), blocks=1).save_pretrained(tmp_path / "vae")
    return str(tmp_path / "vae")


def batch() -> RingWithDepth:
    random = torch.Generator().manual_seed(0)
    rgba = torch.randint(256, (1, VIEWS, 4, SIZE, SIZE), dtype=torch.uint8, generator=random)
    depth = torch.full((1, VIEWS, SIZE, SIZE), torch.inf)
    depth[..., 8:24, 8:24] = 1.4
    return RingWithDepth(rgba, depth, rgba[:, 0], torch.tensor([30.0]))


def training(name: str, plain: str, tmp_path: Path) -> VariantTraining:
    return VariantTraining(name, str(tmp_path / name), steps=10, autoencoder=plain, views_per_step=2)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_begins_as_the_same_decoder_and_learns(name: str, plain: str, tmp_path: Path) -> None:
    made = training(name, plain, tmp_path)
    torch.manual_seed(3)
    begun = made.loss(batch(), latents=torch.ones(1, VIEWS, 6, 4, 4)).item()
    torch.manual_seed(3)
    ours = training("ours", plain, tmp_path)
    torch.manual_seed(3)
    assert begun == pytest.approx(ours.loss(batch(), latents=torch.ones(1, VIEWS, 6, 4, 4)).item(), rel=1e-6)
    before = {key: value.clone() for key, value in made.network.named_parameters()}
    made.loss(batch()).backward()
    torch.optim.SGD(made.network.parameters(), 1.0).step()
    assert any(not torch.equal(value, before[key]) for key, value in made.network.named_parameters())


def looked_at(name: str, depth: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions and visibility at the middle level, from views whose rough depth is everywhere the same."""
    variant = VARIANTS[name]
    network = SmallEpipolarVae(6, widths=(16, 16, 8), blocks=1, **variant.network)
    ring = Cameras.ring(VIEWS, size=SIZE)
    segments = variant.segments(network, ring, ring[:1], torch.full((1, VIEWS, SIZE, SIZE), depth))
    assert segments is not None
    return segments[1].positions, segments[1].visible


def test_whole_lines_do_not_depend_on_depth_and_segments_do() -> None:
    assert torch.equal(looked_at("whole lines", 1.2)[0], looked_at("whole lines", 1.7)[0])
    assert not torch.equal(looked_at("ours", 1.2)[0], looked_at("ours", 1.7)[0])


def test_whole_lines_reach_much_further_than_segments() -> None:
    def length(name: str) -> float:
        positions, _ = looked_at(name, 1.5)
        return float((positions[..., -1, 0, :] - positions[..., 0, 0, :]).norm(dim=-1).mean())

    assert length("whole lines") > 4 * length("ours")


def test_whole_lines_are_not_looked_at_in_the_finest_maps() -> None:
    variant = VARIANTS["whole lines"]
    network = SmallEpipolarVae(6, widths=(16, 16, 8), blocks=1, **variant.network)
    ring = Cameras.ring(VIEWS, size=SIZE)
    segments = variant.segments(network, ring, ring[:1], torch.full((1, VIEWS, SIZE, SIZE), 1.5))
    assert segments is not None
    assert [bool(level.visible.any()) for level in segments] == [True, True, False]


def test_the_photo_alone_is_looked_at_where_views_are_not() -> None:
    positions, _ = looked_at("photo only", 1.5)
    assert positions.shape[-2] == 1  # one source: the photo


def test_a_plain_decoder_that_was_trained_is_exported_by_itself_for_the_others_to_begin_as(
    plain: str, tmp_path: Path
) -> None:
    made = training("plain", plain, tmp_path)
    made.loss(batch()).backward()
    torch.optim.SGD(made.network.parameters(), 1.0).step()
    made.averaged.weights = {key: value.clone() for key, value in made.network.state_dict().items()}
    made.save_for_use()
    alone = load_network(PatchAutoencoder, made.export / "autoencoder")
    whole = load_network(SmallEpipolarVae, made.export)
    latents = torch.randn(2, 6, 4, 4)
    assert torch.equal(alone.decode(latents), whole(latents[None], None, torch.zeros(1, 3, SIZE, SIZE))[0])


def test_the_schedule_counts_steps(plain: str, tmp_path: Path) -> None:
    made = training("ours", plain, tmp_path)
    made.spent = 1e9  # minutes say nothing
    assert made.progress() == 0
