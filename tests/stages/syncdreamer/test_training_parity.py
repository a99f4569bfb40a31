"""The training's own way to a prediction, with layers computed again, has the reference's loss and gradients."""

from pathlib import Path

import torch
from parity import check
from reference import Oracle, Ours

from epimesh.diffusion.schedules import NoiseSchedule
from epimesh.stages.syncdreamer.volume import picked
from epimesh.training.syncdreamer.training import SyncDreamerTraining, kept_conditions


def test_the_training_has_the_loss_of_the_reference(oracle: Oracle, ours: Ours, tmp_path: Path) -> None:
    learning = SyncDreamerTraining(str(tmp_path), start_from=str(ours.folder))
    times, noise = oracle.given["train.t"].long(), oracle.given["train.noise"]
    chosen = oracle.given["train.target_index"].long()
    noisy = NoiseSchedule.scaled_linear().add_noise(oracle.given["train.x0"], noise, times)
    everything = kept_conditions(torch.ones(len(noisy)))
    found = learning.predicted(noisy, times, ours.conditions(oracle), chosen, everything)
    loss = (found - picked(noise, chosen)).square().mean()
    loss.backward()
    oracle.check("train.eps", found.detach(), within=1e-4)
    oracle.check("train.loss", loss.detach()[None], within=1e-4)
    layer = learning.network.unet.depth_up[-1][-1].to_v.weight
    expected = oracle.expected["train.grad.model.diffusion_model.output_conditions.8.depth_attn.to_v.weight"]
    assert layer.grad is not None
    found = layer.grad.flatten()[: expected.numel()].reshape(expected.shape)
    check("train.grad of the attention", found, expected, within=1e-3)
