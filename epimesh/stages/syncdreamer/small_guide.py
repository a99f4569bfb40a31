"""The small SyncDreamer as a guide: all views of the ring at once."""

from dataclasses import dataclass

import torch
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.diffusion.sampler import Denoise
from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.stages.shared.guides import RING_SIZE, GuideParts, in_network_precision, ring_numbers
from epimesh.stages.shared.prior_guided import PriorGuidedGenerator
from epimesh.stages.syncdreamer.denoiser import decomposed
from epimesh.stages.syncdreamer.small_network import SmallJointDenoiser


@dataclass(frozen=True, eq=False, kw_only=True)
class SmallSyncDreamerGuide(GuideParts):
    """The 16 views of the standard ring in their order, tied by a volume.

    Args:
        stage: makes the requests.
        network: predicts.
    """

    stage: PriorGuidedGenerator
    network: SmallJointDenoiser
    joint = True

    def denoiser(self, photo: Photo, cameras: Cameras, guidance: float) -> Denoise:
        """See `ScoreGuide`.

        Raises:
            BadInput: the views are not the whole ring in its order.
        """
        if ring_numbers(cameras) != list(range(RING_SIZE)):
            raise BadInput(
                f"{len(cameras)} views were asked of a guide that sees all {RING_SIZE} of the ring at once.\n"
                f"Expected Cameras.ring({RING_SIZE}) in its order; SmallZero123 knows views one by one."
            )
        with torch.no_grad():
            request = self.stage.request(photo, self.network, self.runtime)
            elevation = torch.tensor([photo.elevation_deg], device=self.runtime.device)
            conditions = self.network.conditions(request, elevation)
        directions = decomposed(guidance - 1, 0.0, 0.0)

        def predict(x: Tensor, time: int) -> Tensor:
            given = in_network_precision(x, self.runtime)[None]
            times = torch.full((1,), time, device=given.device)
            return self.network.joint(given, times, conditions, directions)[0].to(x)

        return predict
