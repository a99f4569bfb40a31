"""The small cascade: prompts say truly where they were seen from, and without them it is the single model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from epimesh.cameras import Cameras
from epimesh.diffusion.attention_control.controller import Layers
from epimesh.diffusion.attention_control.mutual import MutualSelfAttention
from epimesh.diffusion.patch_autoencoder import PatchAutoencoder
from epimesh.diffusion.schedules import Window
from epimesh.errors import BadInput, BadWeights, StageMismatch
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.pipeline.parser import pipeline_from
from epimesh.runtime import Runtime, Silent
from epimesh.stages import SmallCascadeZero123, SmallZero123, Zero123
from epimesh.stages.cascade.prompted_conditioner import PromptedConditioner, with_prompts
from epimesh.stages.coarse_prior.network import RingRegressor
from epimesh.stages.shared.latent_conditioner import Prompts, ViewCondition
from epimesh.stages.shared.prior_guided import pose
from epimesh.stages.shared.view_denoiser import ViewDenoiser
from epimesh.stages.shared.zero_to_hero import ZeroToHero
from epimesh.stages.zero123.small_network import load_view_denoiser, small_scheduler, small_view_denoiser
from epimesh.views import LatentViews

CPU = Runtime("cpu")
PHOTO = Photo(torch.rand(4, 128, 128, generator=torch.Generator().manual_seed(3)), 20.0, 49.1)
RING = Cameras.ring(16, size=8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    PatchAutoencoder(latent_channels=4, widths=(8, 8, 8), blocks=1).save_pretrained(folder / "vae")
    RingRegressor(latent_channels=4, codes=6, width=16, hidden=16, blocks=1).save_pretrained(folder / "prior")
    denoiser = small_view_denoiser((16, 32), latent_channels=4, prior_channels=4)
    for layer in (denoiser.unet.conv_in, denoiser.unet.conv_out):
        torch.nn.init.normal_(layer.weight, std=0.1)
    denoiser.save(folder / "single", small_scheduler())
    with_prompts(denoiser, 4).save(folder / "refiner", small_scheduler())
    return folder


@pytest.fixture
def single(weights: Path) -> SmallZero123:
    parts = {"prior": str(weights / "prior"), "autoencoder": str(weights / "vae")}
    return SmallZero123(weights=str(weights / "single"), steps=2, **parts)


@pytest.fixture
def cascade(weights: Path, single: SmallZero123) -> SmallCascadeZero123:
    refiner = str(weights / "refiner")
    return SmallCascadeZero123(
        weights=refiner, base=single, prior=single.prior, autoencoder=single.autoencoder, steps=2
    )


def prompts_of(cascade: SmallCascadeZero123, photo: Photo = PHOTO) -> Prompts:
    with torch.no_grad():
        prompts = cascade.request(photo, cascade._denoiser.network, CPU).prompts
    assert prompts is not None
    return prompts


def test_without_prompts_it_is_bitwise_the_single_model(cascade: SmallCascadeZero123, single: SmallZero123) -> None:
    alone = replace(cascade, nearby=(), coarse_target=False)
    assert torch.equal(alone(PHOTO, runtime=CPU).latents, single(PHOTO, runtime=CPU).latents)


def test_every_prompt_changes_the_views(cascade: SmallCascadeZero123) -> None:
    seen = [cascade(PHOTO, runtime=CPU).latents]
    for fewer in (replace(cascade, nearby=(2, 14)), replace(cascade, coarse_target=False)):
        found = fewer(PHOTO, runtime=CPU).latents
        assert found.isfinite().all()
        assert not any(torch.allclose(found, other, atol=1e-4) for other in seen)
        seen.append(found)


def test_the_turn_to_a_prompt_and_on_from_it_is_the_turn_from_the_photo(cascade: SmallCascadeZero123) -> None:
    told = prompts_of(cascade).pose
    straight = pose(PHOTO.camera, RING)
    for place, number in enumerate(cascade.nearby):
        first = pose(PHOTO.camera, RING[number])[0]
        onward = told[:, place]
        azimuth = torch.atan2(first[1], first[2]) + torch.atan2(onward[:, 1], onward[:, 2])
        torch.testing.assert_close(azimuth.sin(), straight[:, 1], atol=1e-5, rtol=0)
        torch.testing.assert_close(azimuth.cos(), straight[:, 2], atol=1e-5, rtol=0)
        torch.testing.assert_close(first[0] + onward[:, 0], straight[:, 0], atol=1e-5, rtol=0)
        no_turn = torch.tensor([0.0, 0, 1, 0])
        torch.testing.assert_close(onward[number, :4], no_turn, atol=1e-5, rtol=0)


def test_prompts_are_the_bases_own_views_and_last_the_attempt_at_the_wanted_one(
    cascade: SmallCascadeZero123, single: SmallZero123
) -> None:
    made = single(PHOTO, runtime=CPU.apart("cascade base")).latents
    told = prompts_of(cascade)
    for place, number in enumerate(cascade.nearby):
        assert torch.equal(told.latents[:, place], made[number].expand(16, -1, -1, -1))
    assert torch.equal(told.latents[:, 3], made)
    assert not told.pose[:, 3].any()


def test_the_base_makes_its_views_once_and_no_view_depends_on_which_others_are_asked_for(
    cascade: SmallCascadeZero123, single: SmallZero123
) -> None:
    base = Counting(weights=single.weights, prior=single.prior, autoencoder=single.autoencoder, steps=2, calls=[])
    counted = replace(cascade, base=base)
    whole = counted(PHOTO, runtime=CPU).latents
    assert len(base.calls) == 1
    some = counted.of_ring(PHOTO, [9, 1], runtime=CPU).latents
    torch.testing.assert_close(some, whole[[9, 1]], atol=1e-4, rtol=1e-4)


@dataclass(frozen=True, kw_only=True)
class Counting(SmallZero123):
    """Keeps the photos it was asked for."""

    calls: list[Photo]

    def of_ring(self, photo: Photo, numbers: Sequence[int], *, runtime: Runtime) -> LatentViews:
        self.calls.append(photo)
        return super().of_ring(photo, numbers, runtime=runtime)


def refined(network: ViewDenoiser, prompts: Prompts | None) -> torch.Tensor:
    torch.manual_seed(1)
    request = ViewCondition(torch.randn(2, 4, 16, 16), torch.randn(2, 6), torch.randn(2, 4, 16, 16), prompts)
    with torch.no_grad():
        return network(torch.randn(2, 4, 16, 16), torch.tensor([500, 90]), request)


def test_prompts_are_a_set(weights: Path) -> None:
    network = load_view_denoiser(str(weights / "refiner"), PromptedConditioner).network
    prompts = Prompts(torch.randn(2, 3, 4, 16, 16), torch.randn(2, 3, 6))
    turned = Prompts(prompts.latents[:, [2, 0, 1]], prompts.pose[:, [2, 0, 1]])
    expected = refined(network, prompts)
    torch.testing.assert_close(refined(network, turned), expected, atol=1e-5, rtol=1e-5)
    swapped = Prompts(prompts.latents, prompts.pose[:, [2, 0, 1]])  # another picture for each pose
    assert not torch.allclose(refined(network, swapped), expected, atol=1e-4)


def test_the_unconditional_case_forgets_the_prompts_too(weights: Path) -> None:
    network = load_view_denoiser(str(weights / "refiner"), PromptedConditioner).network
    drop = torch.tensor([False, False])
    some, others = (Prompts(torch.randn(2, 3, 4, 16, 16), torch.randn(2, 3, 6)) for _ in range(2))
    photo, prior = torch.randn(2, 2, 4, 16, 16)
    requests = [ViewCondition(photo, torch.zeros(2, 6), prior, prompts) for prompts in (some, others)]
    one, other = (network.conditioner(request, drop).tokens for request in requests)
    assert torch.equal(one, other)
    assert not one.any()


def test_zero_to_hero_works_on_the_refiner_and_the_photo_is_the_attempt_at_itself(cascade: SmallCascadeZero123) -> None:
    mutual = MutualSelfAttention(layers=Layers(inside=("up_blocks",), resolutions=(16, 8)), window=Window(0))
    steered = replace(cascade, hero=ZeroToHero(use=("mutual",), mutual=mutual))
    plain, found = (stage(PHOTO, runtime=CPU).latents for stage in (cascade, steered))
    assert found.isfinite().all()
    assert not torch.allclose(plain, found, atol=1e-4)
    request = cascade.request(PHOTO, cascade._denoiser.network, CPU)
    own = cascade.photo_request(request, PHOTO)
    assert own.prompts is not None
    assert torch.equal(own.prompts.latents[:, -1], own.photo)
    assert torch.equal(own.prompts.latents[0, :3], request.prompts.latents[0, :3])
    torch.testing.assert_close(own.prompts.pose[0, 0], pose(RING[2], PHOTO.camera)[0])


def test_another_number_of_prompts_than_was_trained_with_is_said(cascade: SmallCascadeZero123) -> None:
    reporter = Silent()
    replace(cascade, nearby=(2,))(PHOTO, runtime=replace(CPU, reporter=reporter))
    assert reporter.warnings == [f"The refiner is told of 2 other views, but {cascade.weights} was trained with 4."]
    silent = Silent()
    cascade(PHOTO, runtime=replace(CPU, reporter=silent))
    assert not silent.warnings


@dataclass(frozen=True, kw_only=True)
class TurnedRing(ViewGenerator):
    """A base with the right latents at other cameras."""

    latent_space = "patch"

    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        cameras = Cameras.ring(16, size=128, first_azimuth_deg=11.25)
        return LatentViews(torch.zeros(16, 4, 16, 16), cameras, photo, self.latent_space)


def test_what_cannot_work_is_refused_with_what_is_possible(cascade: SmallCascadeZero123, weights: Path) -> None:
    with pytest.raises(BadInput, match=r"nearby is \[2, 16\].*0 to 15"):
        replace(cascade, nearby=(2, 16))
    with pytest.raises(StageMismatch, match="makes 'sd' latents"):
        replace(cascade, base=Zero123(weights="nowhere"))
    with pytest.raises(StageMismatch, match="not the refiner's"):
        replace(cascade, base=TurnedRing())(PHOTO, runtime=CPU)
    with pytest.raises(BadWeights, match="Expected a PromptedConditioner"):
        replace(cascade, weights=str(weights / "single"))(PHOTO, runtime=CPU)
    plain = ViewCondition(torch.zeros(1, 4, 16, 16), torch.zeros(1, 6), torch.zeros(1, 4, 16, 16))
    told = replace(plain, prompts=Prompts(torch.zeros(1, 1, 4, 16, 16), torch.zeros(1, 1, 6)))
    with pytest.raises(StageMismatch, match="Only some of the views have prompts"):
        told.joined(plain)


def test_a_preset_can_name_it_with_its_base(tmp_path: Path, weights: Path) -> None:
    preset = tmp_path / "cascade.yaml"
    preset.write_text(
        f"""views:
  class_path: epimesh.stages.SmallCascadeZero123
  init_args:
    weights: {weights / "refiner"}
    nearby: [4, 12]
    base:
      class_path: epimesh.stages.SmallSyncDreamer
"""
    )
    found = pipeline_from(ImageTo3D, ["--preset=small", f"--preset={preset}"]).views
    assert isinstance(found, SmallCascadeZero123)
    assert found.nearby == (4, 12)
    assert type(found.base).__name__ == "SmallSyncDreamer"
