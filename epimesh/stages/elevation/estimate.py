"""The elevation of one photo."""

from typing import NamedTuple

import torch

from epimesh.photo import Photo
from epimesh.runtime import Runtime

TRAINED_DEG = (-10.0, 70.0)  # elevations that training photos are taken from


class Estimate(NamedTuple):
    """Where the camera seems to stand.

    Args:
        degrees: above the horizon, within the range of the training.
        spread_deg: mean absolute error that is to be expected.
    """

    degrees: float
    spread_deg: float


@torch.inference_mode()
def estimated_elevation(photo: Photo, weights: str, runtime: Runtime) -> Estimate:
    """What a network says of a cut-out photo; the photo's own elevation is not looked at.

    Args:
        photo: cut out and centred.
        weights: of an ElevationNetwork.
        runtime: device.
    """
    from epimesh.stages.elevation.network import PIXELS, load_elevation_network  # diffusers takes seconds to import

    small = photo.resized(PIXELS)
    image = small.on_white_with_coverage()[None].to(runtime.device)
    network = load_elevation_network(weights).to(runtime.device)
    both = network(torch.cat([image, image.flip(-1)]))  # a mirrored photo is taken from as high
    low, high = TRAINED_DEG
    return Estimate(float(both.degrees.mean().clamp(low, high)), float(both.spread.mean()))
