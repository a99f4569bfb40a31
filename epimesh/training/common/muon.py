"""Muon: momentum whose update is made orthogonal. Learns in fewer steps than AdamW where weights are matrices."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration
_ITERATIONS = 5
_MOMENTUM = 0.95


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum on matrices and convolution kernels; AdamW on everything else.

    Args:
        matrices: parameters of two dimensions and more; further dimensions count as columns.
        others: gains, biases, and layers at either end of a network.
        rate: learning rate of the matrices.
        others_rate: of the others.
        weight_decay: of the matrices, relative to their rate.

    Source:
        Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024).
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        *,
        rate: float,
        others_rate: float,
        weight_decay: float,
    ) -> None:
        groups: list[dict[str, Any]] = [
            {"params": list(matrices), "orthogonal": True, "lr": rate, "share": 1.0, "decay": weight_decay},
            {"params": list(others), "orthogonal": False, "lr": others_rate, "share": others_rate / rate, "decay": 0.0},
        ]
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step on all parameters that have gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                parameter.mul_(1 - group["lr"] * group["decay"])
                update = self._orthogonal if group["orthogonal"] else self._adaptive
                parameter.add_(update(parameter, parameter.grad), alpha=-group["lr"])
        return loss

    def _orthogonal(self, parameter: Tensor, gradient: Tensor) -> Tensor:
        state = self.state[parameter]
        momentum = state.setdefault("momentum", torch.zeros_like(parameter)).lerp_(gradient, 1 - _MOMENTUM)
        flat = orthogonalised(gradient.lerp(momentum, _MOMENTUM).flatten(1))
        return (flat * max(1, flat.shape[0] / flat.shape[1]) ** 0.5).reshape(parameter.shape)

    def _adaptive(self, parameter: Tensor, gradient: Tensor) -> Tensor:
        state = self.state[parameter]
        state["steps"] = state.get("steps", 0) + 1
        mean = state.setdefault("mean", torch.zeros_like(parameter)).lerp_(gradient, 1 - 0.9)
        square = state.setdefault("square", torch.zeros_like(parameter)).lerp_(gradient.square(), 1 - 0.98)
        corrected = (square / (1 - 0.98 ** state["steps"])).sqrt() + 1e-8
        return mean / (1 - 0.9 ** state["steps"]) / corrected


def orthogonalised(matrix: Float[Tensor, "N M"]) -> Float[Tensor, "N M"]:
    """The nearest matrix with orthonormal rows or columns, roughly: singular values end between .7 and 1.2.

    In bfloat16: the iteration forgives rounding.
    """
    a, b, c = _COEFFICIENTS
    x = matrix.bfloat16()
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)
