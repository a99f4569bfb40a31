"""The base of a self-distillation: one update behind the average of what learns, and untouched by its gradients."""

import pytest
import torch
from torch import Tensor, nn

from epimesh.training.base import ExponentialMovingAverage
from epimesh.training.common.ema_teacher import EmaTeacher

Weights = dict[str, Tensor]


def copied(network: nn.Module) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def learnt(network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    network(torch.randn(8, 2)).square().mean().backward()
    optimizer.step()


def histories(decay: float, steps: int) -> tuple[list[Weights], list[Weights], list[Weights], EmaTeacher]:
    """Weights of refiner, average and base, each first before the training and then after every step."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    averaged, base = ExponentialMovingAverage(network, decay), EmaTeacher(network)
    refiners, averages, bases = [copied(network)], [copied(network)], [copied(base.network)]
    for _ in range(steps):
        learnt(network, optimizer)
        base.after_step(averaged, network)
        refiners.append(copied(network))
        averages.append({name: tensor.clone() for name, tensor in averaged.weights.items()})
        bases.append(copied(base.network))
    return refiners, averages, bases, base


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_after_a_step_the_base_is_bitwise_the_average_of_the_step_before(steps: int) -> None:
    refiners, averages, bases, base = histories(0.15, steps)  # 0.15: warm after the first step, 2 / 11 being more
    assert base.version == steps
    assert same(bases[steps], averages[steps - 1])
    assert not same(bases[steps], averages[steps])
    expected = {name: tensor.double() for name, tensor in refiners[0].items()}
    for refiner in refiners[1:steps]:
        expected = {name: 0.15 * tensor + 0.85 * refiner[name].double() for name, tensor in expected.items()}
    for name, tensor in bases[steps].items():
        torch.testing.assert_close(tensor.double(), expected[name], atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_without_an_average_the_base_is_bitwise_the_refiner_of_the_step_before(steps: int) -> None:
    refiners, _, bases, _ = histories(0.0, steps)
    assert same(bases[steps], refiners[steps - 1])
    assert not same(bases[steps], refiners[steps])


def test_an_average_that_never_moves_freezes_the_base() -> None:
    refiners, _, bases, base = histories(1.0, 5)
    assert all(same(weights, refiners[0]) for weights in bases)
    assert not same(refiners[5], refiners[0])
    assert base.version == 5


def test_no_gradient_reaches_the_base_and_no_module_that_holds_it_has_its_weights() -> None:
    network = nn.Linear(2, 1)
    base = EmaTeacher(network)
    prompt = base.network(torch.randn(4, 2, requires_grad=True))
    (network(torch.randn(4, 2)) * prompt).sum().backward()
    assert network.weight.grad is not None
    assert base.network.weight.grad is None
    assert not base.network.training
    holder = nn.Module()
    holder.learns, holder.base = network, base
    assert len(list(holder.parameters())) == 2
    assert holder.state_dict().keys() == {"learns.weight", "learns.bias"}


def test_a_base_goes_on_from_its_state_bitwise() -> None:
    _, _, bases, base = histories(0.15, 3)
    fresh = EmaTeacher(nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)))
    assert not same(copied(fresh.network), bases[3])
    fresh.restore(base.state())
    assert same(copied(fresh.network), bases[3])
    assert fresh.version == 3
