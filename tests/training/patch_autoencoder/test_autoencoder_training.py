"""The patch autoencoder learns from real renders, and its pieces do what they say."""

from pathlib import Path

import pytest
import torch
from short_trainer import trainer

from epimesh.diffusion.autoencoder import load_autoencoder
from epimesh.training.data.pack_data import PackData, on_white
from epimesh.training.patch_autoencoder.training import PatchAutoencoderTraining, random_crops, reconstruction_loss


def short_training(rendered: Path, export: Path) -> tuple[PatchAutoencoderTraining, PackData]:
    training = PatchAutoencoderTraining(str(export), minutes=1000.0, rate=2e-3, crop=32, fit_batches=3)
    training.spent = 100.0  # past the ramp of the rate
    return training, PackData([str(rendered)], batch=4)


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
def test_thirty_steps_improve_on_the_linear_decoder(rendered: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    training, data = short_training(rendered, tmp_path / "patch")
    images = on_white(next(iter(PackData([str(rendered)], batch=8, seed=9).train_dataloader())).target)
    trainer(30).fit(training, data)
    exported = load_autoencoder(str(tmp_path / "patch"))
    latents = exported.encode(images)
    learned = reconstruction_loss(exported.network.decode(latents), images)
    linear = reconstruction_loss(exported.network.linear(latents), images)
    assert float(learned) < 0.97 * float(linear)


@pytest.mark.filterwarnings("ignore:.*num_workers.*")
def test_going_on_from_a_checkpoint_keeps_the_encoder(rendered: Path, tmp_path: Path) -> None:
    training, data = short_training(rendered, tmp_path / "first")
    first = trainer(2)
    first.fit(training, data)
    first.save_checkpoint(tmp_path / "last.ckpt")
    again, other_data = short_training(rendered, tmp_path / "second")
    other_data.seed = 77  # a new fit would see other pictures
    second = trainer(3)
    second.fit(again, other_data, ckpt_path=tmp_path / "last.ckpt", weights_only=False)
    assert second.global_step == 3
    assert torch.equal(again.network.basis, training.network.basis)
    assert torch.equal(again.network.scale, training.network.scale)


def test_crops_lie_on_the_grid_of_patches_and_reach_every_place() -> None:
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    image = torch.stack([rows, columns, rows, columns])
    crops = random_crops(image.expand(200, -1, -1, -1), 16)
    corners = {(int(crop[0, 0, 0]), int(crop[1, 0, 0])) for crop in crops}
    assert corners == {(top, left) for top in (0, 8, 16) for left in (0, 8, 16)}
    assert torch.equal(crops[:, 0, 1] - crops[:, 0, 0], torch.ones(200, 16))


def test_the_loss_is_zero_only_for_the_truth_and_weighs_the_object_more_than_the_background() -> None:
    truth = torch.ones(1, 4, 16, 16)
    truth[:, 3] = 0
    truth[:, 3, 2:6, 2:6] = 1
    assert float(reconstruction_loss(truth, truth)) == 0
    on_object, beside = truth.clone(), truth.clone()
    on_object[:, 0, 3, 3] = 0.5
    beside[:, 0, 12, 12] = 0.5
    assert float(reconstruction_loss(on_object, truth)) > float(reconstruction_loss(beside, truth)) > 0


@pytest.mark.parametrize(("background", "drawn"), [(2.0, False), (0.3, True)], ids=["equal", "object first"])
def test_only_unequal_weights_draw_a_pixel_that_may_be_either_towards_the_object(
    background: float, drawn: bool
) -> None:
    made = torch.full((1, 4, 8, 8), 0.5, requires_grad=True)
    for truth in (torch.zeros(1, 4, 8, 8), torch.ones(1, 4, 8, 8)):  # equally likely
        reconstruction_loss(made, truth, background).backward()
    assert made.grad is not None
    slope = float(made.grad.sum())
    assert slope < -0.1 if drawn else abs(slope) < 1e-6
