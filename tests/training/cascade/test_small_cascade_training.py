"""The small cascade learns from its own slow copy: one step behind the average, without a gradient, and for use."""

import itertools
from pathlib import Path

import pytest
import pytorch_lightning
import torch
from numbered_packs import save_noise_packs
from small_weights import save_small_weights, small_parts
from torch import Tensor
from torch.utils.data import DataLoader

from epimesh.cameras import Cameras
from epimesh.cli import main
from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.runtime import Runtime
from epimesh.stages import SmallCascadeZero123, SmallZero123
from epimesh.stages.shared.latent_conditioner import Prompts
from epimesh.stages.shared.prior_guided import pose
from epimesh.stages.zero123.small_network import small_scheduler
from epimesh.training.cascade.small_training import SmallCascadeZero123Training
from epimesh.training.data.latents import RingLatents
from epimesh.training.data.pack_data import packs_in
from epimesh.training.data.ring_batches import PackRings, RingViews

RING = Cameras.ring(16, size=8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    views = save_small_weights(folder, (16, 32))
    for layer in (views.unet.conv_in, views.unet.conv_out):
        torch.nn.init.normal_(layer.weight, std=0.1)
    views.save(folder / "views", small_scheduler())
    return folder


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packs")
    save_noise_packs(folder, ("cups", "chairs"), size=128)
    return folder


def training(weights: Path, export: Path, **settings: object) -> SmallCascadeZero123Training:
    torch.manual_seed(0)
    made = {
        **small_parts(weights),
        "minutes": 100.0,
        "alone": 0.0,
    }
    return SmallCascadeZero123Training(str(export), **{**made, **settings})  # type: ignore[arg-type]


def batches(packs: Path, count: int) -> list[RingViews]:
    return list(itertools.islice(PackRings([packs_in(packs)], 2, 0.5, 0), count))


def latents() -> RingLatents:
    random = torch.Generator().manual_seed(1)
    photo, ring = (torch.randn(*shape, 4, 16, 16, generator=random) for shape in ((2,), (2, 16)))
    return RingLatents(photo, ring, torch.tensor([10.0, 30.0]), torch.tensor([0, 1]))


def trainer(steps: int) -> pytorch_lightning.Trainer:
    return pytorch_lightning.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_after_every_step_the_base_is_the_average_of_the_step_before(
    weights: Path, packs: Path, tmp_path: Path
) -> None:
    made = training(weights, tmp_path, rate=1e-2)
    made.spent = 10.0  # past the ramp
    averages, bases = [copied(made.averaged.weights)], []

    class Watching(pytorch_lightning.Callback):
        def on_train_batch_end(self, *_: object) -> None:
            averages.append(copied(made.averaged.weights))
            bases.append(copied(made.base.network.state_dict()))

    watched = trainer(5)
    watched.callbacks.append(Watching())  # type: ignore[attr-defined]
    watched.fit(made, DataLoader(batches(packs, 5), batch_size=None))
    for step in range(1, 6):
        assert same(bases[step - 1], averages[step - 1])
        assert not same(bases[step - 1], averages[step])


def test_no_gradient_reaches_the_base_and_the_optimiser_does_not_know_it(weights: Path, tmp_path: Path) -> None:
    made = training(weights, tmp_path)
    made.log = lambda *_, **__: None  # type: ignore[method-assign]
    made.training_step(latents(), 0).backward()
    assert all(one.grad is None and not one.requires_grad for one in made.base.network.parameters())
    assert all(one.grad is not None for one in made.network.conditioner.prompt_pose.parameters())
    known = {id(one) for _, group in made.shares() for one in group}
    assert known == {id(one) for one in made.network.parameters()}
    assert not known & {id(one) for one in made.base.network.parameters()}


def test_prompts_are_those_that_the_stage_gives(weights: Path, tmp_path: Path) -> None:
    """Poses as the stage computes them; latents from the base for every object, the attempt at the wanted view last."""
    made = training(weights, tmp_path, photo_noise=0.0, prior_noise=0.0)
    chosen = torch.tensor([[3, 9], [0, 15]])
    request, target = made.asked(latents(), chosen)
    assert torch.equal(target, latents().ring[[0, 0, 1, 1], chosen.flatten()])
    assert request.prompts is not None
    assert request.prompts.latents.shape == (4, 4, 4, 16, 16)
    for row, number in enumerate(chosen.flatten().tolist()):
        for place, near in enumerate(made.nearby):
            torch.testing.assert_close(request.prompts.pose[row, place], pose(RING[near], RING[number])[0])
    assert not request.prompts.pose[:, 3].any()
    # Nearby views belong to the object; attempts to the view. View 0 is both a nearby one and wanted of the second.
    shown = request.prompts.latents
    assert torch.equal(shown[0, :3], shown[1, :3])
    assert not torch.equal(shown[0, 0], shown[2, 0])
    assert torch.equal(shown[2, 3], shown[2, 2])


def test_true_prompts_are_the_true_views_and_the_attempt_stays_the_bases(weights: Path, tmp_path: Path) -> None:
    made = training(weights, tmp_path, prompts="truth")
    request, target = made.asked(latents(), torch.tensor([[3], [0]]))
    assert request.prompts is not None
    for place, near in enumerate(made.nearby):
        assert torch.equal(request.prompts.latents[:, place], latents().ring[:, near])
    assert not torch.equal(request.prompts.latents[1, 3], target[1])


def test_the_share_of_steps_without_prompts_is_kept(weights: Path, tmp_path: Path) -> None:
    made = training(weights, tmp_path, alone=0.3)
    prompted = Prompts(torch.zeros(2, 1, 4, 16, 16), torch.zeros(2, 1, 6))
    made._prompts = lambda *_: prompted  # type: ignore[method-assign]
    asked = [made.asked(latents(), torch.tensor([[3], [0]]))[0] for _ in range(600)]
    assert 0.23 < sum(one.prompts is None for one in asked) / 600 < 0.37
    never = training(weights, tmp_path, nearby=(), coarse_target=False)
    assert never.asked(latents(), torch.tensor([[3], [0]]))[0].prompts is None


def test_a_training_goes_on_from_its_checkpoint_with_the_same_base(weights: Path, packs: Path, tmp_path: Path) -> None:
    made = training(weights, tmp_path, rate=1e-2)
    made.spent = 10.0
    first = trainer(3)
    first.fit(made, DataLoader(batches(packs, 3), batch_size=None))
    first.save_checkpoint(tmp_path / "part.ckpt")
    again = training(weights, tmp_path)
    trainer(4).fit(
        again, DataLoader(batches(packs, 4), batch_size=None), ckpt_path=tmp_path / "part.ckpt", weights_only=False
    )
    assert again.base.version == 4
    assert same(again.base.network.state_dict(), made.averaged.weights)


def test_the_command_trains_and_the_stage_runs_with_what_it_exports(
    weights: Path, packs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = tmp_path / "refiner"
    asked = [
        f"--model.export={export}", f"--model.views={weights / 'views'}", f"--model.autoencoder={weights / 'vae'}",
        f"--model.priors=[{weights / 'prior0'},{weights / 'prior1'}]", f"--data.train=[{packs}]", "--data.batch=2",
        "--trainer.max_steps=2", "--trainer.accelerator=cpu", "--trainer.callbacks=null",
        "--trainer.enable_progress_bar=false", "--trainer.enable_checkpointing=false",
    ]  # fmt: skip
    assert main(["train", "cascade-small", *asked]) == 0, capsys.readouterr().err
    parts = {"prior": str(weights / "prior0"), "autoencoder": str(weights / "vae"), "steps": 2}
    stage = SmallCascadeZero123(
        weights=str(export), base=SmallZero123(weights=str(weights / "views"), **parts), **parts
    )
    photo = Photo(torch.rand(4, 128, 128), 20.0, 49.1)
    assert stage(photo, runtime=Runtime("cpu")).latents.isfinite().all()
    going_on = training(weights, tmp_path, start_from=str(export))
    assert int(going_on.network.conditioner.config.prompts) == 4


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"views_per_step": 0}, "views_per_step is 0"),
        ({"nearby": (2, 16)}, "from 0 to 15"),
        ({"base_start": 1001}, "noise up to 1000"),
        ({"priors": None}, "without priors"),
    ],
)
def test_settings_that_cannot_work_are_refused(weights: Path, tmp_path: Path, settings: dict, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        training(weights, tmp_path, **settings)
