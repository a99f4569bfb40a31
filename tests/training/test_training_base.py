"""What all trainings share: schedule, average, checkpoints, export. With real, short trainings."""

from pathlib import Path

import pytest
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from short_trainer import trainer
from torch import Tensor, nn

from epimesh.training.base import ExponentialMovingAverage, Training, rate_at


class Line(ModelMixin, ConfigMixin):
    """y = a x + b."""

    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class LineTraining(Training):
    """Learns y = 3 x - 1."""

    def __init__(self, export: Path, minutes: float = 100.0, rate: float = 0.02) -> None:
        super().__init__(Line(), export=str(export), minutes=minutes, rate=rate, decay=0.9)
        self.seen_rates: list[float] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.seen_rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        return (self.network(batch) - (3 * batch - 1)).square().mean()


def inputs() -> torch.utils.data.DataLoader:
    """The same batch again and again, so that only the training itself decides where it goes."""
    numbers = torch.randn(16, 1, generator=torch.Generator().manual_seed(0))
    return torch.utils.data.DataLoader([numbers] * 1000, batch_size=None)


def test_the_rate_climbs_stays_and_falls_to_almost_nothing() -> None:
    assert rate_at(0.0) == 1e-3
    assert rate_at(0.01) == pytest.approx(0.5)
    assert [rate_at(progress) for progress in (0.02, 0.3, 0.6)] == [1, 1, 1]
    assert rate_at(0.8) == pytest.approx(0.5)
    assert rate_at(1.0) == 1e-3


def test_the_average_is_that_of_a_plain_loop_and_whole_numbers_are_copied() -> None:
    network = nn.BatchNorm1d(2)
    averaged = ExponentialMovingAverage(network, decay=0.5)
    expected = network.weight.detach().clone()
    for step in range(1, 20):
        network(torch.randn(8, 2))
        with torch.no_grad():
            network.weight.add_(torch.randn(2))
        averaged.update(network)
        share = min(0.5, (1 + step) / (10 + step))
        expected = share * expected + (1 - share) * network.weight.detach()
    torch.testing.assert_close(averaged.weights["weight"], expected)
    assert int(averaged.weights["num_batches_tracked"]) == 19


def test_a_short_training_learns_and_exports_its_average_in_half_precision(tmp_path: Path) -> None:
    training = LineTraining(tmp_path / "line")
    training.spent = 10.0  # past the ramp, so that the rate is the full one
    trainer(400).fit(training, inputs())
    assert training.seen_rates[-1] == pytest.approx(0.02)
    exported = Line.from_pretrained(tmp_path / "line", torch_dtype=torch.float16)
    assert exported.layer.weight.dtype == torch.float16
    assert float(exported.layer.weight.detach()) == pytest.approx(3, abs=0.1)
    assert float(exported.layer.bias.detach()) == pytest.approx(-1, abs=0.1)


def test_saving_for_use_does_not_touch_the_weights_that_learn(tmp_path: Path) -> None:
    training = LineTraining(tmp_path / "line")
    training.averaged.weights = {name: tensor + 1 for name, tensor in training.averaged.weights.items()}
    before = {name: tensor.clone() for name, tensor in training.network.state_dict().items()}
    training.save_for_use()
    after = training.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    saved = Line.from_pretrained(tmp_path / "line")
    assert float(saved.layer.bias.detach()) == pytest.approx(float(before["layer.bias"]) + 1, abs=2e-3)


def test_the_average_that_is_saved_knows_of_every_step_and_so_of_the_last(tmp_path: Path) -> None:
    training = LineTraining(tmp_path / "line")
    trainer(3).fit(training, inputs())
    assert training.averaged.steps == 3


def test_a_training_ends_when_its_time_is_over(tmp_path: Path) -> None:
    training = LineTraining(tmp_path / "line", minutes=1e-9)
    short = trainer(500)
    short.fit(training, inputs())
    assert short.global_step < 5
    assert (tmp_path / "line" / "config.json").is_file()


def test_a_training_goes_on_from_its_checkpoint_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    whole = LineTraining(tmp_path / "whole")
    whole.spent = 10.0
    start = {name: tensor.clone() for name, tensor in whole.network.state_dict().items()}
    trainer(20).fit(whole, inputs())

    part = LineTraining(tmp_path / "part")
    part.network.load_state_dict(start)
    part.averaged = ExponentialMovingAverage(part.network, 0.9)
    part.spent = 10.0
    first = trainer(12)
    first.fit(part, inputs())
    first.save_checkpoint(tmp_path / "part.ckpt")

    going_on = LineTraining(tmp_path / "part")
    second = trainer(20)
    second.fit(going_on, inputs(), ckpt_path=tmp_path / "part.ckpt", weights_only=False)
    assert second.global_step == 20
    assert going_on.spent >= part.spent
    assert going_on.averaged.steps == whole.averaged.steps
    for name, tensor in whole.averaged.weights.items():
        torch.testing.assert_close(going_on.averaged.weights[name], tensor)
