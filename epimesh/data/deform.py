"""Smooth changes of a shape as a whole: twist, taper, bend, and scaling to unit size."""

import torch
from jaxtyping import Float
from torch import Tensor

Vertices = Float[Tensor, "N 3"]


def _height(vertices: Vertices) -> Float[Tensor, "N 1"]:
    """0 at the lowest vertex, 1 at the highest."""
    low, high = vertices[:, 2].min(), vertices[:, 2].max()
    return ((vertices[:, 2] - low) / (high - low).clamp_min(1e-6))[:, None]


def _centred(vertices: Vertices) -> Vertices:
    return vertices - (vertices.amin(0) + vertices.amax(0)) / 2


def twisted(vertices: Vertices, angle: float) -> Vertices:
    """Turned about its vertical axis by up to `angle` radians at the top."""
    turn = angle * _height(vertices)
    x, y, z = _centred(vertices).split(1, dim=1)
    return torch.cat([turn.cos() * x - turn.sin() * y, turn.sin() * x + turn.cos() * y, z], dim=1)


def tapered(vertices: Vertices, growth: float) -> Vertices:
    """Wider (growth > 0) or narrower towards the top; the top has 1 + growth times its width."""
    factor = 1 + growth * _height(vertices)
    return _centred(vertices) * torch.cat([factor, factor, torch.ones_like(factor)], dim=1)


def bent(vertices: Vertices, shift: float) -> Vertices:
    """Bent sideways along x; the top moves by `shift` times the height."""
    tall = vertices[:, 2].max() - vertices[:, 2].min()
    moved = shift * tall * _height(vertices) ** 2
    return _centred(vertices) + torch.cat([moved, torch.zeros(len(vertices), 2)], dim=1)


def unit_sized(vertices: Vertices) -> Vertices:
    """Centred at the origin, longest side 1."""
    low, high = vertices.amin(0), vertices.amax(0)
    return (vertices - (low + high) / 2) / (high - low).amax().clamp_min(1e-9)
