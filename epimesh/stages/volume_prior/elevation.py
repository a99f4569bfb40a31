"""Where the camera of a photo seems to stand above the object's horizon."""

from typing import NamedTuple

import torch

from epimesh.photo import Photo
from epimesh.runtime import Runtime

TRAINED_DEG = (-10.0, 70.0)  # elevations that training photos are taken from


class Elevation(NamedTuple):
    """An estimate.

    Args:
        degrees: above the horizon, within the range of the training.
        spread_deg: mean absolute error that the network expects.
    """

    degrees: float
    spread_deg: float


@torch.inference_mode()
def estimated_elevation(photo: Photo, weights: str, runtime: Runtime) -> Elevation:
    """What the volume prior's network says of a cut-out photo; the photo's own elevation is not looked at.

    Args:
        photo: cut out and centred.
        weights: of a VolumeNetwork.
        runtime: device.
    """
    from epimesh.stages.volume_prior.network import load_volume_network
    from epimesh.stages.volume_prior.stage import network_input

    network = load_volume_network(weights).to(runtime.device)
    seen = network.photo_features(network_input(photo)[None].to(runtime.device))
    low, high = TRAINED_DEG
    return Elevation(float(seen.elevation_deg.clamp(low, high)), float(seen.elevation_spread_deg))
