"""The small SyncDreamer: it begins as the view denoiser, its volume ties views, and weights that do not fit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.diffusion.guidance import DecomposedGuidance
from epimesh.diffusion.patch_autoencoder import PatchAutoencoder
from epimesh.errors import BadInput, BadWeights, StageMismatch
from epimesh.photo import Photo
from epimesh.runtime import Runtime
from epimesh.stages.coarse_prior.network import RingRegressor
from epimesh.stages.coarse_prior.stage import CoarsePrior
from epimesh.stages.shared.latent_conditioner import ViewCondition
from epimesh.stages.shared.view_denoiser import ViewDenoiser
from epimesh.stages.syncdreamer.denoiser import decomposed
from epimesh.stages.syncdreamer.small_network import SmallJointDenoiser, joint_from_views, load_small_joint
from epimesh.stages.syncdreamer.small_stage import SmallSyncDreamer
from epimesh.stages.zero123.small_network import small_scheduler, small_view_denoiser
from epimesh.stages.zero123.small_stage import SmallZero123

CPU = Runtime("cpu")
PHOTO = Photo(torch.rand(4, 128, 128, generator=torch.Generator().manual_seed(3)), 20.0, 49.1)
VIEWS = 16


def view_denoiser() -> ViewDenoiser:
    """Tiny, and nothing of it at zero."""
    torch.manual_seed(0)
    single = small_view_denoiser((16, 32), latent_channels=4, prior_channels=4).eval().requires_grad_(False)
    torch.nn.init.normal_(single.unet.conv_in.weight, std=0.1)
    torch.nn.init.normal_(single.unet.conv_out.weight, std=0.1)
    return single


def joint_denoiser() -> SmallJointDenoiser:
    return joint_from_views(
        view_denoiser(), side=4, depths=4, encoder_width=8, volume_channels=(8, 16), frustum_channels=(8, 16)
    ).eval()


def tied(joint: SmallJointDenoiser) -> SmallJointDenoiser:
    """The same after something like a training: depth attention is no longer zero."""
    for name, parameter in joint.joint.unet.named_parameters():
        if name.startswith("depth_") and name.endswith("conv2.weight"):
            torch.nn.init.normal_(parameter, std=0.1)
    return joint.requires_grad_(False)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    view_denoiser().save(folder / "zero123", small_scheduler())
    joint_denoiser().save(folder / "new", small_scheduler())
    tied(joint_denoiser()).save(folder / "tied", small_scheduler())
    vae = PatchAutoencoder(latent_channels=4, widths=(8, 8, 8), blocks=1)
    vae.basis.copy_(torch.eye(4).repeat_interleave(64, dim=1) / 8)  # mean colours, which are the same in a mirror
    vae.save_pretrained(folder / "vae")
    PatchAutoencoder(latent_channels=5, widths=(8, 8, 8), blocks=1).save_pretrained(folder / "vae5")
    RingRegressor(latent_channels=4, codes=6, width=16, hidden=16, blocks=1).save_pretrained(folder / "prior")
    return folder


@pytest.fixture
def stage(weights: Path) -> SmallSyncDreamer:
    parts = {"prior": str(weights / "prior"), "autoencoder": str(weights / "vae")}
    return SmallSyncDreamer(weights=str(weights / "tied"), steps=2, samples=1, **parts)


def request_of(objects: int) -> ViewCondition:
    rows = objects * VIEWS
    return ViewCondition(torch.randn(rows, 4, 16, 16), torch.randn(rows, 6), torch.randn(rows, 4, 16, 16))


def predicted(joint: SmallJointDenoiser, noisy: Tensor, request: ViewCondition, guidance: DecomposedGuidance) -> Tensor:
    count = len(noisy)
    conditions = joint.conditions(request, torch.full((count,), 20.0))
    with torch.no_grad():
        return joint.joint(noisy, torch.full((count,), 500), conditions, guidance)


def test_a_new_joint_denoiser_predicts_what_the_view_denoiser_does_with_and_without_conditions() -> None:
    single, joint = view_denoiser(), joint_denoiser()
    noisy, request, times = torch.randn(2, VIEWS, 4, 16, 16), request_of(2), torch.full((2 * VIEWS,), 500)
    with torch.no_grad():
        told = single(noisy.flatten(0, 1), times, request)
        untold = single(noisy.flatten(0, 1), times, request, torch.zeros(2 * VIEWS, dtype=torch.bool))
    found = predicted(joint, noisy, request, decomposed()).flatten(0, 1)
    torch.testing.assert_close(found, told, atol=1e-5, rtol=1e-5)
    guided = predicted(joint, noisy, request, decomposed(everything=1.5)).flatten(0, 1)
    torch.testing.assert_close(guided, told + 1.5 * (told - untold), atol=1e-4, rtol=1e-4)


def test_a_new_stage_makes_the_views_of_the_view_generator_from_the_same_noise(stage: SmallSyncDreamer) -> None:
    weights = Path(stage.weights).parent
    parts = {"prior": stage.prior, "autoencoder": stage.autoencoder, "steps": stage.steps, "start": stage.start}
    single = SmallZero123(weights=str(weights / "zero123"), **parts)  # type: ignore[arg-type]

    class SameNoise(Runtime):
        def generator(self, purpose: str) -> torch.Generator:
            return torch.Generator().manual_seed(5)

    expected = single(PHOTO, runtime=SameNoise("cpu")).latents
    found = replace(stage, weights=str(weights / "new"))(PHOTO, runtime=SameNoise("cpu")).latents
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_once_the_attention_is_not_zero_a_change_in_one_view_reaches_the_others_of_the_same_object_only() -> None:
    joint = tied(joint_denoiser())
    noisy, request = torch.randn(2, VIEWS, 4, 16, 16), request_of(2)
    other = noisy.clone()
    other[0, 5] += 1
    change = (predicted(joint, noisy, request, decomposed()) - predicted(joint, other, request, decomposed())).abs()
    reached = change.amax(dim=(2, 3, 4))
    assert reached[0, torch.arange(VIEWS) != 5].min() > 1e-5
    assert reached[1].max() < 1e-5


def test_the_volume_counts_the_middles_of_the_latents_patches() -> None:
    """A point in the cube lies in the patch whose integer index its lifted position rounds to."""
    volume = joint_denoiser().joint.volume
    cameras = Cameras.ring(size=128)
    seen = (volume.lifting_grid + 1) / 2 * 15  # indices of latents
    axis = torch.linspace(-0.5, 0.5, 4)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    points = torch.stack([x, y, z], dim=-1).reshape(-1, 3)
    for view in (0, 5):
        in_camera = points @ cameras.world_to_camera[view, :3, :3].T + cameras.world_to_camera[view, :3, 3]
        flat = in_camera @ cameras.intrinsics[view].T
        pixels = flat[:, :2] / flat[:, 2:]
        torch.testing.assert_close(seen[view].reshape(-1, 2), pixels / 8 - 0.5, atol=1e-4, rtol=1e-4)


def test_starting_at_zero_is_the_coarse_guess_itself(stage: SmallSyncDreamer) -> None:
    guess = CoarsePrior(weights=str(stage.prior), autoencoder=stage.autoencoder)(PHOTO, runtime=CPU)
    made = replace(stage, start=0)(PHOTO, runtime=CPU)
    torch.testing.assert_close(made.latents, guess.latents, atol=1e-5, rtol=1e-5)


def test_the_same_seed_gives_the_same_views_and_fewer_at_once_too(stage: SmallSyncDreamer) -> None:
    first = stage(PHOTO, runtime=CPU).latents
    assert torch.equal(first, stage(PHOTO, runtime=CPU).latents)
    torch.testing.assert_close(replace(stage, batch=5)(PHOTO, runtime=CPU).latents, first, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(first, stage(PHOTO, runtime=Runtime("cpu", seed=1)).latents)


def test_two_samples_of_a_guess_without_noise_know_no_left_and_right(stage: SmallSyncDreamer) -> None:
    """Half of them is the answer to the mirrored photo, mirrored back, and its ring runs the other way round."""
    both, single = replace(stage, start=0, samples=2), replace(stage, start=0)
    mirrored = replace(PHOTO, rgba=PHOTO.rgba.flip(-1))
    found, of_mirrored = (both(photo, runtime=CPU).latents for photo in (PHOTO, mirrored))
    back = stage._autoencoder.mirrored(of_mirrored)[[0, *range(15, 0, -1)]]
    torch.testing.assert_close(found, back, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, single(PHOTO, runtime=CPU).latents, atol=1e-2)


def test_more_samples_are_averaged_and_the_first_stays_what_it_was(stage: SmallSyncDreamer) -> None:
    one, two, three = (replace(stage, samples=count)(PHOTO, runtime=CPU).latents for count in (1, 2, 3))
    second = 2 * two - one
    third = 3 * three - 2 * two
    for made in (second, third):
        assert not torch.allclose(made, one, atol=1e-2)
    again = stage(PHOTO, runtime=CPU.apart("syncdreamer sample 2")).latents
    torch.testing.assert_close(third, again, atol=1e-4, rtol=1e-4)
    with pytest.raises(BadInput, match="samples is 0"):
        replace(stage, samples=0)


def test_every_direction_of_guidance_and_the_start_change_the_views(stage: SmallSyncDreamer) -> None:
    plain = stage(PHOTO, runtime=CPU).latents
    for settings in ({"guidance": 2.0}, {"photo_guidance": 2.0}, {"volume_guidance": 2.0}, {"eta": 1.0}):
        changed = replace(stage, **settings)(PHOTO, runtime=CPU).latents
        assert changed.isfinite().all()
        assert not torch.allclose(changed, plain, atol=1e-4), settings
    pure = replace(stage, start=1000, prior=None)(PHOTO, runtime=CPU).latents
    assert pure.isfinite().all()


def test_latents_of_another_autoencoder_are_refused_with_both_counts(stage: SmallSyncDreamer, weights: Path) -> None:
    with pytest.raises(StageMismatch, match=r"4 channels.*5"):
        replace(stage, autoencoder=str(weights / "vae5"))(PHOTO, runtime=CPU)


def test_more_noise_than_was_trained_is_refused(stage: SmallSyncDreamer, tmp_path: Path) -> None:
    joint = joint_denoiser()
    joint.conditioner.register_to_config(largest_time=700)
    joint.save(tmp_path, small_scheduler())
    with pytest.raises(BadInput, match="up to 700"):
        replace(stage, weights=str(tmp_path), start=800)(PHOTO, runtime=CPU)


def test_folders_with_a_missing_a_damaged_or_a_foreign_part_are_refused_by_name(tmp_path: Path) -> None:
    joint = joint_denoiser()
    joint.save(tmp_path, small_scheduler())
    load_small_joint(str(tmp_path))
    other = joint_from_views(
        view_denoiser(), side=4, depths=4, encoder_width=8, volume_channels=(8,), frustum_channels=(8, 24)
    )
    other.save(tmp_path / "other", small_scheduler())
    (tmp_path / "volume").rename(tmp_path / "kept")
    with pytest.raises(BadWeights, match="volume"):
        load_small_joint(str(tmp_path))
    (tmp_path / "other" / "volume").rename(tmp_path / "volume")
    with pytest.raises(BadWeights, match="different models"):
        load_small_joint(str(tmp_path))
    file = tmp_path / "conditioner" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(BadWeights, match="conditioner"):
        load_small_joint(str(tmp_path))
