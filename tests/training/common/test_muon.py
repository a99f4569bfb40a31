"""Orthogonal updates for matrices, adaptive ones for the rest."""

import pytest
import torch

from epimesh.training.common.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (24, 24)])
def test_an_orthogonalised_matrix_keeps_its_directions_and_loses_its_singular_values(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = left.T @ orthogonalised(matrix) @ right.T
    assert found.diagonal().min() > 0.5
    assert found.diagonal().max() < 1.3
    assert (found - torch.diag(found.diagonal())).abs().max() < 0.1


def test_a_layer_learns_a_linear_map() -> None:
    generator = torch.manual_seed(0)
    layer, true = torch.nn.Linear(8, 8), torch.randn(8, 8, generator=generator)
    inputs = torch.randn(256, 8, generator=generator)
    optimizer = Muon([layer.weight], [layer.bias], rate=0.02, others_rate=1e-3, weight_decay=0.0)
    losses = []
    for _ in range(400):
        loss = (layer(inputs) - inputs @ true).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.01 * losses[0]


def test_only_matrices_decay() -> None:
    layer = torch.nn.Linear(4, 4)
    bias, weight = layer.bias.detach().clone(), layer.weight.detach().clone()
    optimizer = Muon([layer.weight], [layer.bias], rate=0.1, others_rate=0.1, weight_decay=0.5)
    layer.weight.grad, layer.bias.grad = torch.zeros(4, 4), torch.zeros(4)
    optimizer.step()
    torch.testing.assert_close(layer.weight.detach(), weight * 0.95)
    assert torch.equal(layer.bias.detach(), bias)
