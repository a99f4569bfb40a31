"""What counts as a difference between decoded and true images, beside the squared error."""

import pickle
from abc import abstractmethod
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from epimesh.errors import BadWeights

_WIDTHS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
_POOLED_BEFORE = (2, 4, 7, 10)  # convolutions that see half the resolution of the one before
_COMPARED_AFTER = (1, 3, 6, 9, 12)  # relu1_2, 2_2, 3_3, 4_3, 5_3
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in 0 to 1


class ImageDifference(nn.Module):
    """A difference between images in [-1, 1]."""

    @abstractmethod
    def forward(self, made: Float[Tensor, "V 3 H W"], truth: Float[Tensor, "V 3 H W"]) -> Float[Tensor, ""]: ...


class GradientDifference(ImageDifference):
    """Absolute differences of the image gradients: sharpness without a pretrained network. Not a perceptual loss."""

    def forward(self, made: Float[Tensor, "V 3 H W"], truth: Float[Tensor, "V 3 H W"]) -> Float[Tensor, ""]:
        """The mean over both directions."""
        difference = made - truth
        return (difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()) / 2


class PerceptualDifference(ImageDifference):
    """Squared differences of VGG16's features at five depths, each pixel's features scaled to unit length.

    Args:
        file: torchvision's weights of VGG16 (`vgg16-397923af.pth`, or the same as safetensors). Its classifier is not
            needed.

    Raises:
        BadWeights: it holds something else.

    Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (arXiv:1801.03924),
    equation 1, with all weights one: their calibrated weights are not in this file, so it is not LPIPS.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        inputs = (3, *_WIDTHS[:-1])
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(inputs, _WIDTHS, strict=True))
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(_DEVIATION)[:, None, None])
        stored = _state(file)
        try:
            for number, layer in zip(_torchvision_numbers(), self.layers, strict=True):
                layer.load_state_dict({part: stored[f"features.{number}.{part}"] for part in ("weight", "bias")})
        except (KeyError, RuntimeError) as error:
            raise BadWeights(
                f"{file} holds no VGG16 ({' '.join(str(error).split())}).\nExpected torchvision's vgg16-397923af.pth."
            ) from error
        self.eval().requires_grad_(False)

    def forward(self, made: Float[Tensor, "V 3 H W"], truth: Float[Tensor, "V 3 H W"]) -> Float[Tensor, ""]:
        """The sum over the depths of the mean over pixels."""
        with torch.no_grad():
            expected = self._features(truth)
        pairs = zip(self._features(made), expected, strict=True)
        return torch.stack([(found - wanted).square().sum(1).mean() for found, wanted in pairs]).sum()

    def _features(self, images: Float[Tensor, "V 3 H W"]) -> list[Tensor]:
        x, features = ((images / 2 + 0.5) - self.mean) / self.deviation, []
        for number, layer in enumerate(self.layers):
            if number in _POOLED_BEFORE:
                x = nn.functional.max_pool2d(x, 2)
            x = nn.functional.relu(layer(x))
            if number in _COMPARED_AFTER:
                features.append(nn.functional.normalize(x.float(), dim=1))
        return features


def _torchvision_numbers() -> list[int]:
    """Where torchvision's `features` hold the convolutions: each is followed by a ReLU, some preceded by a pooling."""
    return [2 * index + sum(index >= pooled for pooled in _POOLED_BEFORE) for index in range(len(_WIDTHS))]


def _state(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise BadWeights(
            f"{file} cannot be read as plain weights ({' '.join(str(error).split())[:200]}).\n"
            "Expected torchvision's vgg16-397923af.pth."
        ) from error
