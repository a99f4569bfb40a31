"""The small Zero-1-to-3 as a guide of score distillation and inversion."""

from dataclasses import dataclass

import torch
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.diffusion.sampler import Denoise, clean_and_noise
from epimesh.diffusion.score_guide import NullParts, as_noise, scaled
from epimesh.photo import Photo
from epimesh.stages.shared.guides import GuideParts, in_network_precision, ring_numbers, times_of
from epimesh.stages.shared.latent_conditioner import ViewCondition
from epimesh.stages.shared.prior_guided import PriorGuidedGenerator
from epimesh.stages.zero123.small_network import ViewDenoiser


@dataclass(frozen=True, eq=False, kw_only=True)
class SmallZero123Guide(GuideParts):
    """Views of the standard ring, each by itself.

    Args:
        stage: makes the requests.
        network: predicts.
    """

    stage: PriorGuidedGenerator
    network: ViewDenoiser
    joint = False

    def request(self, photo: Photo, cameras: Cameras) -> ViewCondition:
        """What the network is told of these views."""
        numbers = ring_numbers(cameras)
        with torch.no_grad():
            return self.stage.request(photo, self.network, self.runtime)[numbers]

    def denoiser(self, photo: Photo, cameras: Cameras, guidance: float) -> Denoise:
        """See `ScoreGuide`."""
        request = self.request(photo, cameras)
        return scaled(self.of_request(request, True), self.of_request(request, False), guidance)

    def of_request(self, request: ViewCondition, with_conditions: bool) -> Denoise:
        """The prediction with what is asked for, or without."""
        keep = torch.full((len(request.photo),), with_conditions, device=request.photo.device)

        def predict(x: Tensor, time: int) -> Tensor:
            given = in_network_precision(x, self.runtime)
            return self.network(given, times_of(given, time), request, keep).to(x)

        return predict

    def null_parts(self, photo: Photo, cameras: Cameras) -> NullParts:
        """Tokens are learned in the place of zeros; channels and vector stay zero, as without conditions."""
        request = self.request(photo, cameras)
        with torch.no_grad():
            nothing = self.network.conditioner(request, torch.zeros(len(cameras), dtype=torch.bool))

        def unconditional(x: Tensor, time: int, tokens: Tensor) -> Tensor:
            given = torch.cat([in_network_precision(x, self.runtime), nothing.channels], dim=1)
            times = times_of(given, time)
            told = tokens.to(given)
            predicted = self.network.unet(given, times, told, class_labels=nothing.vector, return_dict=False)[0].to(x)
            return clean_and_noise(x, predicted, self.schedule.alpha_cumprod_at(time), self.prediction)[1]

        conditional = as_noise(self.of_request(request, True), self.schedule, self.prediction)
        return NullParts(conditional, unconditional, nothing.tokens.float())
