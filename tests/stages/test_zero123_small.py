"""The small Zero-1-to-3: what reaches which view, what guidance and the start cost, and weights that do not fit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from epimesh.cameras import Cameras
from epimesh.diffusion.patch_autoencoder import PatchAutoencoder
from epimesh.errors import BadInput, BadWeights, StageMismatch
from epimesh.photo import Photo
from epimesh.runtime import Runtime, Silent
from epimesh.stages.coarse_prior.network import RingRegressor
from epimesh.stages.coarse_prior.stage import CoarsePrior
from epimesh.stages.shared.latent_conditioner import LatentConditioner, ViewCondition
from epimesh.stages.shared.prior_guided import pose
from epimesh.stages.shared.view_denoiser import ViewDenoiser
from epimesh.stages.zero123.small_network import load_view_denoiser, small_scheduler, small_view_denoiser
from epimesh.stages.zero123.small_stage import SmallZero123

CPU = Runtime("cpu")
PHOTO = Photo(torch.rand(4, 128, 128, generator=torch.Generator().manual_seed(3)), 20.0, 49.1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    PatchAutoencoder(latent_channels=4, widths=(8, 8, 8), blocks=1).save_pretrained(folder / "vae")
    PatchAutoencoder(latent_channels=5, widths=(8, 8, 8), blocks=1).save_pretrained(folder / "vae5")
    RingRegressor(latent_channels=4, codes=6, width=16, hidden=16, blocks=1).save_pretrained(folder / "prior")
    denoiser = small_view_denoiser((16, 32), latent_channels=4, prior_channels=4)
    torch.nn.init.normal_(denoiser.unet.conv_in.weight, std=0.1)
    torch.nn.init.normal_(denoiser.unet.conv_out.weight, std=0.1)
    denoiser.save(folder / "zero123", small_scheduler())
    return folder


@pytest.fixture
def stage(weights: Path) -> SmallZero123:
    return SmallZero123(
        weights=str(weights / "zero123"), prior=str(weights / "prior"), autoencoder=str(weights / "vae"), steps=2
    )


def test_a_new_denoiser_ignores_the_coarse_guess_until_it_learns_to_use_it() -> None:
    network = small_view_denoiser((16, 32), latent_channels=4, prior_channels=4)
    noisy, photo, prior = torch.randn(3, 2, 4, 16, 16)
    with torch.no_grad():
        one = network(noisy, torch.tensor([5, 5]), ViewCondition(photo, torch.randn(2, 6).fill_(0.1), prior))
        other = network(noisy, torch.tensor([5, 5]), ViewCondition(photo, torch.randn(2, 6).fill_(0.1), -prior))
    torch.testing.assert_close(one, other)


def test_without_conditions_neither_photo_nor_pose_nor_guess_matters() -> None:
    network = small_view_denoiser((16, 32), latent_channels=4, prior_channels=4)
    torch.nn.init.normal_(network.unet.conv_in.weight)
    noisy, times, drop = torch.randn(2, 4, 16, 16), torch.tensor([5, 5]), torch.tensor([False, False])
    requests = [
        ViewCondition(torch.randn(2, 4, 16, 16), torch.randn(2, 6), torch.randn(2, 4, 16, 16)) for _ in range(2)
    ]
    with torch.no_grad():
        one, other = (network(noisy, times, request, drop) for request in requests)
    assert torch.equal(one, other)


def test_the_pose_is_that_of_zero123_with_both_elevations() -> None:
    photo = Cameras.on_sphere(torch.tensor([0.0]), torch.tensor([10.0]), size=8)
    quarter = Cameras.on_sphere(torch.tensor([90.0]), torch.tensor([30.0]), size=8)
    expected = torch.deg2rad(torch.tensor([[-20.0, 0, 0, 0, 10, 30]]))  # up by 20: the polar angle shrinks
    expected[0, 1:4] = torch.tensor([1.0, 0, 0])
    torch.testing.assert_close(pose(photo, quarter), expected, atol=1e-5, rtol=1e-5)


def test_starting_at_zero_is_the_coarse_guess_itself(stage: SmallZero123) -> None:
    guess = CoarsePrior(weights=str(stage.prior), autoencoder=stage.autoencoder)(PHOTO, runtime=CPU)
    made = replace(stage, start=0)(PHOTO, runtime=CPU)
    torch.testing.assert_close(made.latents, guess.latents, atol=1e-5, rtol=1e-5)


def test_the_same_seed_gives_the_same_views_and_another_seed_others(stage: SmallZero123) -> None:
    first = stage(PHOTO, runtime=CPU).latents
    assert torch.equal(first, stage(PHOTO, runtime=CPU).latents)
    assert not torch.allclose(first, stage(PHOTO, runtime=Runtime("cpu", seed=1)).latents)


def test_smaller_batches_give_the_same_views(stage: SmallZero123) -> None:
    whole = stage(PHOTO, runtime=CPU).latents
    torch.testing.assert_close(replace(stage, batch=5)(PHOTO, runtime=CPU).latents, whole, atol=1e-4, rtol=1e-4)


def test_some_views_of_the_ring_are_what_they_are_among_all(stage: SmallZero123) -> None:
    noisy = replace(stage, eta=1.0)
    whole, some = noisy(PHOTO, runtime=CPU), noisy.of_ring(PHOTO, [9, 1, 15], runtime=CPU)
    torch.testing.assert_close(some.latents, whole.latents[[9, 1, 15]], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(some.latents, whole.latents[[1, 9, 15]], atol=1e-2)
    assert torch.equal(some.cameras.world_to_camera, whole.cameras.world_to_camera[[9, 1, 15]])
    for numbers in ([], [16], [-1]):
        with pytest.raises(BadInput, match="the ring has those of 0 to 15"):
            stage.of_ring(PHOTO, numbers, runtime=CPU)


def test_pure_noise_forgets_the_guess_as_a_start(stage: SmallZero123, weights: Path) -> None:
    calls: list[int] = []

    class Counting(Silent):
        def track(self, items: object, description: str, total: int) -> object:
            calls.append(total)
            return iter(items)  # type: ignore[call-overload]

        def warn(self, message: str) -> None:
            raise AssertionError(message)

        def note(self, message: str) -> None:
            raise AssertionError(message)

    made = replace(stage, start=1000, steps=3, prior=None)(PHOTO, runtime=Runtime("cpu", reporter=Counting()))
    assert calls == [3]
    assert made.latents.isfinite().all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 0}, "steps"),
        ({"start": 1001}, "1000"),
        ({"start": 400, "prior": None}, "prior"),
        ({"batch": 0}, "batch"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_loaded(settings: dict, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        SmallZero123(weights="nowhere", **settings)


def test_latents_of_another_autoencoder_are_refused_with_both_counts(stage: SmallZero123, weights: Path) -> None:
    with pytest.raises(StageMismatch, match=r"4 channels.*5"):
        replace(stage, autoencoder=str(weights / "vae5"))(PHOTO, runtime=CPU)


def test_parts_of_different_models_are_refused(weights: Path, tmp_path: Path) -> None:
    denoiser = small_view_denoiser((16, 32), latent_channels=4, prior_channels=4)
    ViewDenoiser(denoiser.unet, LatentConditioner(4, 0, vector_width=192)).save(tmp_path, small_scheduler())
    with pytest.raises(BadWeights, match="different models"):
        load_view_denoiser(str(tmp_path))


def test_a_saved_denoiser_comes_back_within_half_precision(tmp_path: Path) -> None:
    network = small_view_denoiser((16, 32), latent_channels=4, prior_channels=4).eval()
    network.save(tmp_path, small_scheduler())
    again = load_view_denoiser(str(tmp_path))
    assert again.prediction == "v"
    with safe_open(tmp_path / "unet" / "diffusion_pytorch_model.safetensors", framework="pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118
    request = ViewCondition(torch.randn(1, 4, 16, 16), torch.randn(1, 6), torch.randn(1, 4, 16, 16))
    with torch.no_grad():
        before = network(torch.ones(1, 4, 16, 16), torch.tensor([500]), request)
        after = again.network(torch.ones(1, 4, 16, 16), torch.tensor([500]), request)
    torch.testing.assert_close(before, after, atol=2e-2, rtol=2e-2)
