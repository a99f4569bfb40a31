"""The full-size training at a tiny size: begins as Zero-1-to-3, learns what it should, in any number of processes."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import pytorch_lightning
import torch
from diffusers import UNet2DConditionModel
from published_folders import noisy_photo
from torch import Tensor

from epimesh.cameras import RING
from epimesh.cli import main
from epimesh.diffusion.guidance import Branch
from epimesh.errors import BadInput
from epimesh.runtime import Runtime
from epimesh.stages.syncdreamer.denoiser import Conditions
from epimesh.stages.syncdreamer.depth_attention import DepthAttention
from epimesh.stages.syncdreamer.stage import SyncDreamer
from epimesh.stages.syncdreamer.volume import SpatialVolume, picked
from epimesh.stages.zero123.network import PhotoAndPose, predictions
from epimesh.training.data.pack_data import packs_in
from epimesh.training.data.ring_batches import PackRingData, PackRings, RingViews
from epimesh.training.syncdreamer.training import (
    Kept,
    SyncDreamerTraining,
    kept_conditions,
    step_random,
    warmed_up,
)
from epimesh.weights.loading import load_part

SIZES = {"side": 4, "depths": 4, "volume_channels": (8, 16), "frustum_channels": (8, 16)}


def training(zero123: Path, export: Path, **settings: object) -> SyncDreamerTraining:
    torch.manual_seed(0)
    return SyncDreamerTraining(str(export), str(zero123), **{**SIZES, **settings})  # type: ignore[arg-type]


def batches(packs: Path, count: int, seed: list[int]) -> list[RingViews]:
    return list(itertools.islice(PackRings([packs_in(packs)], 1, 0.0, seed), count))


def trainer(steps: int) -> pytorch_lightning.Trainer:
    silent = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pytorch_lightning.Trainer(max_steps=steps, accelerator="cpu", enable_checkpointing=False, **silent)


def learned(learning: SyncDreamerTraining) -> dict[str, Tensor]:
    return {name: weight.detach() for name, weight in learning.network.named_parameters() if weight.requires_grad}


def test_it_begins_with_the_predictions_of_zero123_for_every_view(zero123: Path, tmp_path: Path, packs: Path) -> None:
    learning = training(zero123, tmp_path)
    clean, conditions = learning._encoded(batches(packs, 1, [0])[0], step_random(0, 0, 0))
    times, chosen = torch.tensor([300]), torch.arange(RING)[None]
    everything = kept_conditions(torch.ones(1))
    with torch.no_grad():
        found = learning.predicted(clean, times, conditions, chosen, everything)
        unet = load_part(UNet2DConditionModel, zero123 / "unet")
        channels = conditions.channels.expand(RING, -1, -1, -1)
        told = PhotoAndPose(channels, picked(conditions.tokens, chosen))
        (expected,) = predictions(unet, clean[0], times.expand(RING), told, [Branch()])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_rates_climb_from_a_fiftieth_and_stay() -> None:
    assert [warmed_up(step, 100) for step in (0, 50, 100, 101, 80000)] == pytest.approx([0.02, 0.51, 1, 1, 1])


def test_one_condition_at_a_time_is_dropped_or_all_of_them() -> None:
    kept = kept_conditions(torch.tensor([0.0, 0.05, 0.07, 0.12, 0.17, 0.21, 1.0]))
    assert kept.channels.tolist() == [False, False, False, True, True, True, True]
    assert kept.volume.tolist() == [False, False, True, False, True, True, True]
    assert kept.tokens.tolist() == [False, False, True, True, False, True, True]


def test_what_is_dropped_no_longer_matters(zero123: Path, tmp_path: Path) -> None:
    learning = training(zero123, tmp_path)
    for layer in learning.network.unet.modules():
        if isinstance(layer, DepthAttention):
            torch.nn.init.normal_(layer.conv2.weight, std=0.3)
    noisy, view = torch.randn(1, RING, 4, 8, 8), torch.randn(1, RING, 4)
    channels, tokens = torch.randn(1, 4, 8, 8), torch.randn(1, RING, 1, 16)
    others = torch.ones(1, RING, 1, 1, 1)
    others[:, 0] = 0  # a change there reaches view 0 by the volume only

    def predicted(drop: str, changed: str = "nothing") -> Tensor:
        kept = Kept(*(torch.tensor([name != drop]) for name in Kept._fields))
        told = Conditions(channels + (changed == "channels"), tokens + (changed == "tokens"), view)
        x = noisy + others * (changed == "volume")
        with torch.no_grad():
            return learning.predicted(x, torch.tensor([300]), told, torch.tensor([[0]]), kept)

    for name in Kept._fields:
        assert torch.equal(predicted(name), predicted(name, changed=name))
        assert not torch.equal(predicted("nothing"), predicted("nothing", changed=name))


def test_computing_layers_again_changes_neither_loss_nor_gradients(zero123: Path, tmp_path: Path, packs: Path) -> None:
    batch, found = batches(packs, 1, [0])[0], []
    for recompute in (True, False):
        learning = training(zero123, tmp_path, recompute=recompute)
        torch.nn.init.normal_(learning.network.unet.depth_middle.conv2.weight)
        loss = learning.loss(batch, step_random(0, 0, 0))
        loss.backward()
        gradients = [weight.grad for weight in learned_parameters(learning)]
        assert all(gradient is not None for gradient in gradients)
        found.append([loss.detach(), *gradients])
    for again, kept in zip(*found, strict=True):
        torch.testing.assert_close(again, kept)


def learned_parameters(learning: SyncDreamerTraining) -> list[torch.nn.Parameter]:
    return [weight for weight in learning.network.parameters() if weight.requires_grad]


def test_only_the_volume_and_the_attention_to_it_learn_and_a_stopped_training_goes_on_as_if_it_had_not(
    zero123: Path, tmp_path: Path, packs: Path
) -> None:
    given = torch.utils.data.DataLoader(batches(packs, 1, [0]) * 100, batch_size=None)
    whole, part, going_on = (training(zero123, tmp_path / name, warm_up=2) for name in ("whole", "part", "part"))
    before = {name: weight.detach().clone() for name, weight in whole.network.named_parameters()}
    trainer(4).fit(whole, given)
    first = trainer(2)
    first.fit(part, given)
    first.save_checkpoint(tmp_path / "part.ckpt")
    second = trainer(4)
    second.fit(going_on, given, ckpt_path=tmp_path / "part.ckpt")
    assert second.global_step == 4
    assert [group["lr"] for group in second.optimizers[0].param_groups] == [5e-5, 5e-4]
    for name, weight in learned(whole).items():
        torch.testing.assert_close(going_on.network.get_parameter(name).detach(), weight, atol=1e-7, rtol=1e-5)
    changed = {
        name for name, weight in whole.network.named_parameters() if not torch.equal(weight.detach(), before[name])
    }
    assert changed
    assert {name.split(".")[1] for name in changed if name.startswith("unet")} == {"depth_middle", "depth_up"}
    assert not changed - learned(whole).keys()


def test_two_processes_learn_what_one_would_from_both_their_objects(zero123: Path, tmp_path: Path, packs: Path) -> None:
    """By the command, over gloo; the reference averages the gradients of both streams by hand."""
    yaml = f"""
model:
  class_path: epimesh.training.syncdreamer.training.SyncDreamerTraining
  init_args: {{export: out, zero123: {zero123}, warm_up: 0, volume_rate: 5.0e-4, side: 4, depths: 4,
    volume_channels: [8, 16], frustum_channels: [8, 16]}}
data:
  class_path: epimesh.training.data.ring_batches.PackRingData
  init_args: {{train: ["{packs}"], batch: 1, ring_photos: 0.0}}
trainer: {{max_steps: 2, max_epochs: -1, accelerator: cpu, devices: 2, strategy: ddp, logger: false,
  enable_checkpointing: false, enable_progress_bar: false, use_distributed_sampler: false}}
"""
    (tmp_path / "config.yaml").write_text(yaml)
    command = [sys.executable, "-m", "epimesh", "train", "config.yaml"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    found = load_part(SpatialVolume, tmp_path / "out" / "volume")

    pytorch_lightning.seed_everything(0)  # as the command does before it makes the networks
    alone = SyncDreamerTraining(str(tmp_path), str(zero123), warm_up=0, **SIZES)  # type: ignore[arg-type]
    start = [weight.detach().clone() for weight in volume(alone)]
    (optimizer,), _ = alone.configure_optimizers()
    streams = [batches(packs, 2, [0, process, 0]) for process in range(2)]
    assert not torch.equal(streams[0][0].photo, streams[1][0].photo)
    for step in range(2):
        optimizer.zero_grad()
        for process, stream in enumerate(streams):
            (alone.loss(stream[step], step_random(0, step, process)) / 2).backward()
        optimizer.step()
    # Adam turns rounding into steps where a gradient is next to nothing, so the steps are compared as a whole.
    expected = torch.cat(
        [(after.detach() - before).flatten() for after, before in zip(volume(alone), start, strict=True)]
    )
    learnt = [found.get_parameter(name).detach() for name, _ in alone.network.volume.named_parameters()]
    steps = torch.cat([(after - before).flatten() for after, before in zip(learnt, start, strict=True)])
    assert float((steps - expected).norm()) < 0.01 * float(expected.norm())


def volume(learning: SyncDreamerTraining) -> list[torch.nn.Parameter]:
    return list(learning.network.volume.parameters())


def test_what_is_exported_is_what_the_stage_runs(zero123: Path, tmp_path: Path, packs: Path) -> None:
    learning = training(zero123, tmp_path / "out", drop=True)
    trainer(1).fit(learning, PackRingData([str(packs)], batch=2))
    views = SyncDreamer(weights=str(tmp_path / "out"), steps=1)(noisy_photo(), runtime=Runtime("cpu"))
    assert views.latents.isfinite().all()
    again = SyncDreamerTraining(str(tmp_path / "again"), start_from=str(tmp_path / "out"))
    for name, weight in learned(learning).items():
        assert torch.equal(again.network.get_parameter(name), weight)


def test_views_of_another_size_are_refused(zero123: Path, tmp_path: Path, numbered: Path) -> None:
    learning = training(zero123, tmp_path)
    with pytest.raises(BadInput, match=r"8 pixels per side.*64.\n.*--size 64"):
        learning.loss(batches(numbered, 1, [0])[0], step_random(0, 0, 0))


def test_the_training_that_ships_says_which_weights_it_begins_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EPIMESH_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["epimesh"])
    settings = ["--trainer.accelerator", "cpu", "--trainer.precision", "32-true"]
    assert main(["train", "syncdreamer", *settings]) == 2
    assert "epimesh convert zero123 zero123-xl.ckpt" in capsys.readouterr().err
