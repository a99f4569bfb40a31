"""Pale objects of generated views keep their coverage, and others lose nothing by it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from epimesh.decoders import VaeDecoder
from epimesh.diffusion.autoencoder import foreground
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.stages.read.salient_coverage import SalientCoverage, covered

SIZE = 256
PUBLISHED = ("zero123-xl", "zero123-xl-hero", "stable-zero123", "syncdreamer", "harmonyview")


def iou(found: Tensor, truth: Tensor) -> float:
    return float(((found > 0.5) & truth).sum() / ((found > 0.5) | truth).sum())


def vase(darkest: float, lightest: float) -> tuple[Tensor, Tensor]:
    """A shaded vase on white, and where it is."""
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
    radius = 0.35 + 0.15 * (rows * 3).sin()
    truth = (columns.abs() < radius) & (rows.abs() < 0.75)
    light = (1 - (columns / radius).square()).clamp(0, 1).sqrt()
    shade = lightest - (lightest - darkest) * (1 - light)
    grain = 0.004 * torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return (torch.where(truth, shade, 1.0) + grain).clamp(0, 1), truth


def test_a_pale_object_keeps_its_coverage_where_its_colour_alone_loses_half_of_it() -> None:
    rgb, truth = vase(darkest=0.90, lightest=0.97)
    assert iou(foreground(rgb[None])[0, 0], truth) < 0.6
    assert iou(SalientCoverage()(rgb[None])[0, 0], truth) > 0.95


def test_an_object_that_is_not_pale_is_what_its_colour_says_bit_for_bit() -> None:
    rgb, truth = vase(darkest=0.1, lightest=0.6)
    found = SalientCoverage()(rgb[None])
    assert torch.equal(found, foreground(rgb[None]))
    assert iou(found[0, 0], truth) > 0.99


def test_holes_that_the_network_does_not_see_stay_open() -> None:
    rgb, truth = vase(darkest=0.80, lightest=0.96)
    rgb[:, 100:140, 110:140] = 1.0
    closed = truth.float()  # as a network that does not see the hole
    assert 0.6 < float(foreground(rgb[None])[0, 0][truth].mean()) < 0.9
    assert float(covered(rgb, closed)[0, 105:135, 115:135].mean()) == 0


def test_without_a_network_colour_alone_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb, _ = vase(darkest=0.90, lightest=0.97)
    finder = SalientCoverage()
    object.__setattr__(finder, "rembg_model", None)
    assert torch.equal(finder(rgb[None]), foreground(rgb[None]))


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_with_published_weights_use_it(name: str) -> None:
    decoder = ImageTo3D.from_preset(name).decode
    assert isinstance(decoder, VaeDecoder)
    assert isinstance(decoder.coverage, SalientCoverage)
    assert isinstance(decoder.coverage.rembg_model, Path)
