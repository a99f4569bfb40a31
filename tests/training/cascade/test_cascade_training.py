"""The refiner's training at a tiny size: its base is its own past, and it learns from what the stage will tell it."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytorch_lightning
import torch
from published_folders import noisy_photo
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.cli import main
from epimesh.errors import BadInput
from epimesh.runtime import Runtime
from epimesh.stages.cascade.stage import CascadeZero123, Nearby, nearby_cameras
from epimesh.stages.shared.photo_token import picture_of, zero123_image
from epimesh.stages.zero123.network import known
from epimesh.stages.zero123.stage import Zero123
from epimesh.training.cascade.prompt_cache import Prompted
from epimesh.training.cascade.prompts import Kept, SelfPrompts, kept_conditions
from epimesh.training.cascade.training import CascadeZero123Training
from epimesh.training.data.pack_data import packs_in
from epimesh.training.data.view_pairs import PackViewPairs, ViewPairs
from epimesh.training.syncdreamer.training import step_random
from epimesh.training.zero123.frozen_parts import Zero123Network

CPU = Runtime("cpu")
Weights = dict[str, Tensor]


@pytest.fixture
def given(packs: Path) -> list[ViewPairs]:
    return list(itertools.islice(PackViewPairs([packs_in(packs)], 2, 0.5, 0.5, [0]), 3))


Make = Callable[..., CascadeZero123Training]


@pytest.fixture
def training(zero123: Path, tmp_path: Path) -> Make:
    """Trainings whose base takes one step instead of 25."""

    def make(**settings: object) -> CascadeZero123Training:
        merged = {"export": str(tmp_path / "out"), "zero123": str(zero123), "base_steps": 1, "warm_up": 2, **settings}
        return CascadeZero123Training(**merged)  # type: ignore[arg-type]

    return make


class Past(pytorch_lightning.Callback):
    """Remembers the weights after every step of the optimiser, and before the first."""

    def __init__(self) -> None:
        self.refiner: list[Weights] = []
        self.average: list[Weights] = []
        self.base: list[Weights] = []

    def remember(self, learning: CascadeZero123Training) -> None:
        self.refiner.append(copied(learning.network.state_dict()))
        self.average.append(copied(learning.averaged.weights))
        self.base.append(copied(learning.base.network.state_dict()))

    def on_train_start(self, trainer: object, learning: CascadeZero123Training) -> None:
        self.remember(learning)

    def on_train_batch_end(self, trainer: object, learning: CascadeZero123Training, *ignored: object) -> None:
        self.remember(learning)


def copied(weights: Weights) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def fitted(
    learning: CascadeZero123Training, batches: list[ViewPairs], steps: int, **settings: object
) -> pytorch_lightning.Trainer:
    checkpoint = settings.pop("ckpt_path", None)
    silent = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pytorch_lightning.Trainer(
        max_steps=steps, accelerator="cpu", enable_checkpointing=False, **silent, **settings
    )
    trainer.fit(learning, torch.utils.data.DataLoader(batches, batch_size=None), ckpt_path=checkpoint)
    return trainer


def everything(count: int) -> Kept:
    return kept_conditions(torch.ones(count), 0.05)


def told_unet(learning: CascadeZero123Training, act: Callable[[], object]) -> tuple[Tensor, Tensor, Tensor]:
    """What the refiner's UNet is given while something happens: inputs, times and tokens."""
    heard: list[tuple[Tensor, Tensor, Tensor]] = []
    hook = learning.network.unet.register_forward_pre_hook(lambda _, given: heard.append(given))
    act()
    hook.remove()
    return heard[0]


def test_poses_are_those_between_the_cameras_and_nearby_ones_do_not_climb_over_the_pole(
    given: list[ViewPairs],
) -> None:
    batch = given[0]._replace(photo_elevation_deg=torch.tensor([-12.0, 70.0]))
    prompts = SelfPrompts()
    asked, told = prompts.asked(batch), prompts.told(batch)
    for item in range(2):
        photo = noisy_photo()
        photo = replace(photo, elevation_deg=float(batch.photo_elevation_deg[item]))
        azimuth, elevation = batch.azimuth_deg[item : item + 1], batch.target_elevation_deg[item : item + 1]
        target = Cameras.on_sphere(azimuth, elevation, size=64)
        near = nearby_cameras(photo, prompts.nearby, 64)
        places = photo.camera.view_delta(Cameras.joined([target, near]))
        torch.testing.assert_close(asked[item], places, atol=1e-5, rtol=0)
        chain = [photo.camera.view_delta(target), torch.zeros(1, 4), *(near[i].view_delta(target) for i in range(3))]
        torch.testing.assert_close(told[item], torch.cat(chain), atol=1e-5, rtol=0)
        identity = replace(prompts, coarse_pose="identity").told(batch)[item, 1]
        torch.testing.assert_close(identity, torch.tensor([0.0, 0, 1, 0]))


@pytest.mark.parametrize("alone", ["the coarse target", "nearby views"])
def test_the_refiner_learns_from_the_tokens_that_the_stage_will_tell_it(
    alone: str, training: Make, zero123: Path
) -> None:
    """From pictures in 8 bits to tokens; the stage takes the base's noise from a stream that the test gives, too."""
    only = {"nearby": ()} if alone == "the coarse target" else {"coarse_target": False}
    photo, where = noisy_photo(), (torch.tensor([100.0]), torch.tensor([5.0]))
    single = Zero123(weights=str(zero123), steps=2, eta=0.0, skip_noisiest=False)
    stage = CascadeZero123(weights=str(zero123), base=single, **only)  # type: ignore[arg-type]
    with torch.no_grad():
        expected = stage._told(photo, Cameras.on_sphere(*where, size=64), CPU)[0]
    seed = int(torch.randint(2**31, (), generator=CPU.generator("cascade base")))
    stream = replace(CPU, seed=seed).generator("zero123 published")

    shown = ((zero123_image(picture_of(photo), 64) + 1) / 2 * 255).round().to(torch.uint8)
    shown = torch.cat([shown, torch.full((1, 64, 64), 255, dtype=torch.uint8)])[None]
    learning = training(base_steps=2, base_batch=2, **only)
    batch = ViewPairs(shown, shown, where[0], torch.tensor([photo.elevation_deg]), where[1])
    prompted, noisy = learning.prompted(batch, stream), torch.randn(1, 4, 8, 8)
    inputs, _, tokens = told_unet(
        learning, lambda: learning.predicted(noisy, torch.tensor([300]), prompted, everything(1))
    )
    torch.testing.assert_close(inputs, torch.cat([noisy, expected.channels], dim=1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(tokens, expected.tokens, atol=1e-4, rtol=1e-4)


def test_a_prompt_that_is_zeroed_changes_the_prediction(training: Make, given: list[ViewPairs]) -> None:
    learning = training()
    prompted = learning.prompted(given[0], step_random(0, 0, 0))
    assert prompted.embeddings.shape[:2] == prompted.poses.shape[:2] == (2, 5)

    @torch.no_grad()
    def predicted(changed: Prompted) -> Tensor:
        return learning.predicted(torch.ones(2, 4, 8, 8), torch.tensor([300, 600]), changed, everything(2))

    expected = predicted(prompted)
    for number in range(5):
        embeddings = prompted.embeddings.clone()
        embeddings[:, number] = 0
        assert not torch.allclose(predicted(prompted._replace(embeddings=embeddings)), expected, atol=1e-4)


def test_without_prompts_the_refiner_is_told_what_zero123_is_and_no_base_imagines_anything(
    training: Make, given: list[ViewPairs], monkeypatch: pytest.MonkeyPatch
) -> None:
    learning = training(nearby=(), coarse_target=False)
    monkeypatch.setattr(learning.base.network.unet, "forward", None)
    prompted = learning.prompted(given[0], step_random(0, 0, 0))
    sight, network = learning.sight, learning.network
    white = given[0].photo[:, :3].float() / 255 * 2 - 1  # the packs are opaque
    inputs, _, tokens = told_unet(
        learning, lambda: learning.predicted(torch.zeros(2, 4, 8, 8), torch.tensor([3, 3]), prompted, everything(2))
    )
    for item in range(2):
        pose = prompted.poses[item]
        expected = known(white[item : item + 1], pose, sight.autoencoder.network, sight.encoder, network.token)
        torch.testing.assert_close(tokens[item : item + 1], expected.tokens, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(inputs[item : item + 1, 4:], expected.channels, atol=1e-5, rtol=1e-5)


def test_the_target_is_scaled_and_the_photo_is_not(training: Make, given: list[ViewPairs]) -> None:
    learning = training(drop=0.0)
    batch = given[0]._replace(target=given[0].photo)
    prompted = learning.prompted(batch, step_random(0, 0, 0))
    prompted = prompted._replace(target_deviation=torch.zeros_like(prompted.target_deviation))
    learning.schedule = replace(learning.schedule, alphas_cumprod=torch.ones(1000))  # no noise is added
    inputs, times, _ = told_unet(learning, lambda: learning.loss(prompted, step_random(0, 0, 0)))
    target, photo = inputs.chunk(2, dim=1)
    torch.testing.assert_close(target / photo, torch.full_like(photo, 0.18215))
    assert len(set(times.tolist())) == 2


def test_a_tenth_loses_the_pictures_a_tenth_the_latents_and_a_twentieth_both() -> None:
    kept = kept_conditions(torch.rand(100_000, generator=torch.Generator().manual_seed(0)), 0.05)
    lost = [~kept.tokens, ~kept.channels, ~kept.tokens & ~kept.channels]
    assert [float(rows.float().mean()) for rows in lost] == pytest.approx([0.1, 0.1, 0.05], abs=0.003)
    assert all(part.all() for part in kept_conditions(torch.zeros(10), 0.0))


def test_what_is_dropped_no_longer_matters_but_poses_do(training: Make, given: list[ViewPairs]) -> None:
    learning = training()
    prompted = learning.prompted(given[0], step_random(0, 0, 0))
    poses = torch.randn_like(prompted.poses)
    others = {
        "tokens": prompted._replace(embeddings=torch.randn_like(prompted.embeddings)),
        "channels": prompted._replace(photo=torch.randn_like(prompted.photo)),
        "poses": prompted._replace(poses=poses),
    }
    for kept in (Kept(*(torch.tensor([value] * 2) for value in pair)) for pair in ((True, False), (False, True))):
        matters = {"tokens": bool(kept.tokens[0]), "channels": bool(kept.channels[0]), "poses": True}
        with torch.no_grad():
            found = {
                name: learning.predicted(torch.ones(2, 4, 8, 8), torch.tensor([300, 600]), changed, kept)
                for name, changed in {"nothing": prompted, **others}.items()
            }
        for name, matter in matters.items():
            assert torch.equal(found[name], found["nothing"]) != matter


def test_refiner_and_token_learn_from_a_step_and_no_gradient_reaches_the_base(
    training: Make, given: list[ViewPairs]
) -> None:
    found = []
    for recompute in (True, False):
        learning = training(recompute=recompute)
        random = step_random(0, 0, 0)
        prompted = learning.prompted(given[0], random)
        assert not any(tensor.requires_grad for tensor in prompted)
        loss = learning.loss(prompted, random)
        loss.backward()
        assert all(weight.grad is None for weight in learning.base.network.parameters())
        gradients = [weight.grad for weight in learning.network.parameters()]
        assert all(gradient is not None for gradient in gradients)
        found.append([loss.detach(), *gradients])
    for again, kept in zip(*found, strict=True):
        torch.testing.assert_close(again, kept)
    (optimizer,), _ = learning.configure_optimizers()
    learnt = [weight for group in optimizer.param_groups for weight in group["params"]]
    assert {id(weight) for weight in learnt} == {id(weight) for weight in learning.network.parameters()}
    assert {id(weight) for weight in learning.parameters()} == {id(weight) for weight in learnt}
    assert [group["initial_lr"] for group in optimizer.param_groups] == [1e-4, 1e-3]


@pytest.mark.parametrize("decay", [0.0, 0.15, 1.0])
def test_the_base_is_the_average_of_the_step_before(decay: float, training: Make, given: list[ViewPairs]) -> None:
    learning, past = training(decay=decay), Past()
    fitted(learning, given, 2, callbacks=[past])
    assert learning.base.version == 2
    assert not same(past.refiner[1], past.refiner[0])
    for step in (1, 2):
        assert same(past.base[step], past.average[step - 1])
        assert same(past.base[step], past.refiner[step - 1]) == (decay == 0 or step == 1)
        assert same(past.base[step], past.refiner[0]) == (decay == 1 or step == 1)


def by_hand(learning: CascadeZero123Training, steps: list[list[ViewPairs]], processes: int = 1) -> Weights:
    """A training with nothing but its parts: no Lightning, no cache. Processes take turns with batches."""
    (optimizer,), (climb,) = learning.configure_optimizers()
    for step, batches in enumerate(steps):
        randoms = [step_random(0, step, process) for process in range(processes)]
        optimizer.zero_grad()
        for batch, random in zip(batches, itertools.cycle(randoms)):
            (learning.loss(learning.prompted(batch, random), random) / len(batches)).backward()
        optimizer.step()
        climb["scheduler"].step()
        learning.base.after_step(learning.averaged, learning.network)
    return copied(learning.network.state_dict())


def test_a_refresh_of_one_is_bitwise_no_cache_at_all(training: Make, given: list[ViewPairs]) -> None:
    learning = training(refresh=1)
    fitted(learning, given, 2)
    assert same(learning.network.state_dict(), by_hand(training(), [[batch] for batch in given[:2]]))


def test_batches_that_make_one_step_have_prompts_times_and_noise_of_their_own(
    training: Make, given: list[ViewPairs]
) -> None:
    learning = training(refresh=1)
    fitted(learning, given, 1, accumulate_grad_batches=2)
    assert same(learning.network.state_dict(), by_hand(training(), [given[:2]]))


def test_prompts_stay_with_their_photos_until_the_base_is_so_many_versions_further(
    training: Make, given: list[ViewPairs], monkeypatch: pytest.MonkeyPatch
) -> None:
    learning = training(refresh=2, decay=0.0)
    made: list[tuple[int, Tensor]] = []
    prompt, used, lose = learning.prompted, [], learning.loss

    def prompted(batch: ViewPairs, random: torch.Generator) -> Prompted:
        made.append((learning.base.version, batch.photo))
        return prompt(batch, random)

    def loss(prompts: Prompted, random: torch.Generator) -> Tensor:
        used.append(prompts)
        return lose(prompts, random)

    monkeypatch.setattr(learning, "prompted", prompted)
    monkeypatch.setattr(learning, "loss", loss)
    fitted(learning, given * 2, 3, accumulate_grad_batches=2)
    assert [version for version, _ in made] == [0, 0, 2, 2]
    for (_, photo), number in zip(made, (0, 1, 1, 2), strict=True):  # of three batches, two a step
        assert torch.equal(photo, given[number].photo)
    assert used[0].embeddings is used[2].embeddings
    assert used[1].photo is used[3].photo


@pytest.mark.parametrize("refresh", [1, 2])
def test_a_stopped_training_goes_on_bitwise_as_if_it_had_not(
    refresh: int, training: Make, given: list[ViewPairs], tmp_path: Path
) -> None:
    whole, part, going_on = (training(refresh=refresh, decay=0.9) for _ in range(3))
    fitted(whole, given, 3)
    fitted(part, given, 1).save_checkpoint(tmp_path / "part.ckpt")
    finished = fitted(going_on, given[1:] * 2, 3, ckpt_path=tmp_path / "part.ckpt")
    assert finished.global_step == 3
    assert going_on.base.version == whole.base.version == 3
    assert going_on.averaged.steps == whole.averaged.steps
    for one, other in ((whole.network, going_on.network), (whole.base.network, going_on.base.network)):
        assert same(one.state_dict(), other.state_dict())
    assert same(whole.averaged.weights, going_on.averaged.weights)


def test_the_command_trains_a_refiner_that_the_stage_runs(
    zero123: Path, packs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["epimesh"])
    trainer = {"accelerator": "cpu", "precision": "32-true", "max_steps": "2", "callbacks": "null"}
    trainer |= {"accumulate_grad_batches": "1", "enable_progress_bar": "false", "enable_checkpointing": "false"}
    settings = [item for name, value in trainer.items() for item in (f"--trainer.{name}", value)]
    settings += ["--model.zero123", str(zero123), "--data.train", f"[{packs}]", "--data.batch", "1"]
    settings += ["--model.nearby", "[{azimuth_deg: 30}]", "--model.base_steps", "2", "--model.decay", "0.5"]
    settings += ["--model.export_every", "1"]
    assert main(["train", "cascade-zero123", *settings]) == 0
    made = tmp_path / "checkpoints" / "cascade-zero123"
    assert sorted(path.name for path in made.iterdir()) == [
        "image_encoder",
        "photo_token",
        "scheduler",
        "unet",
        "vae",
    ]
    base = Zero123(weights=str(made), steps=2)
    stage = CascadeZero123(weights=str(made), base=base, nearby=(Nearby(30.0),), steps=2, views=1)
    found = stage(noisy_photo(), runtime=CPU).latents
    assert found.isfinite().all()
    untrained = replace(stage, weights=str(zero123), base=replace(base, weights=str(zero123)))
    assert not torch.allclose(untrained(noisy_photo(), runtime=CPU).latents, found, atol=1e-5)


@pytest.mark.slow
def test_two_processes_learn_what_one_would_from_both_their_photos(
    zero123: Path, packs: Path, training: Make, tmp_path: Path
) -> None:
    """By the command, over gloo; the reference averages the gradients of both streams by hand."""
    trainer = {"accelerator": "cpu", "devices": "2", "strategy": "ddp", "precision": "32-true", "max_steps": "3"}
    trainer |= {"accumulate_grad_batches": "1", "callbacks": "null", "enable_checkpointing": "false"}
    settings = [item for name, value in trainer.items() for item in (f"--trainer.{name}", value)]
    settings += ["--model.zero123", str(zero123), "--model.export", "two", "--model.decay", "0", "--model.warm_up", "2"]
    settings += ["--model.base_steps", "1", "--data.train", f"[{packs}]", "--data.batch", "1"]
    command = [sys.executable, "-m", "epimesh", "train", "cascade-zero123", *settings]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr

    alone = training(decay=0.0)
    start = copied(alone.network.state_dict())
    streams = [
        list(itertools.islice(PackViewPairs([packs_in(packs)], 1, 0.5, 0.5, [0, process, 0]), 3))
        for process in range(2)
    ]
    assert not torch.equal(streams[0][0].photo, streams[1][0].photo)
    by_hand(alone, [[streams[process][step] for process in range(2)] for step in range(3)], processes=2)
    found, expected = Zero123Network.load(str(tmp_path / "two")).state_dict(), alone.network.state_dict()
    # Adam turns rounding into steps where a gradient is next to nothing, so the steps are compared as a whole.
    learnt, steps = (
        torch.cat([(after[name] - start[name]).flatten() for name in start]) for after in (found, expected)
    )
    assert float((learnt - steps).norm()) < 0.01 * float(steps.norm())


def test_what_is_exported_is_the_average(training: Make, given: list[ViewPairs], tmp_path: Path) -> None:
    learning = training(decay=0.5)
    fitted(learning, given, 2)
    assert not same(copied(learning.network.state_dict()), learning.averaged.weights)
    again = training(start_from=str(tmp_path / "out"))
    assert same(copied(again.network.state_dict()), learning.averaged.weights)


def test_settings_that_make_no_sense_are_refused(training: Make, given: list[ViewPairs]) -> None:
    for settings, said in (
        ({"refresh": 0}, r"refresh is 0; expected 1"),
        ({"base_steps": 7}, r"steps is 7; expected a number that divides 1000"),
        ({"base_batch": 0}, r"base_batch is 0"),
        ({"drop": 0.5}, r"drop is 0.5.*from 0 to 1/3"),
        ({"decay": 1.5}, r"decay 1.5.*from 0 to 1"),
    ):
        with pytest.raises(BadInput, match=said):
            training(**settings)
    small = given[0]._replace(photo=given[0].photo[..., :8, :8])
    with pytest.raises(BadInput, match=r"8 pixels per side.*64.\n.*--size 64"):
        training().prompted(small, step_random(0, 0, 0))


def test_the_training_that_ships_says_which_weights_it_begins_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EPIMESH_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["epimesh"])
    settings = ["--trainer.accelerator", "cpu", "--trainer.precision", "32-true"]
    assert main(["train", "cascade-zero123", *settings]) == 2
    assert "epimesh convert zero123 zero123-xl.ckpt" in capsys.readouterr().err
