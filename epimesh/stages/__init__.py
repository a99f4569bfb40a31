"""The stages from photo to latents, and from mesh to textured mesh."""

from epimesh.stages.bake import BakeTexture
from epimesh.stages.coarse_prior.stage import CoarsePrior
from epimesh.stages.cut_out import CutOut
from epimesh.stages.salient_coverage import SalientCoverage
from epimesh.stages.syncdreamer.small_stage import SmallSyncDreamer
from epimesh.stages.syncdreamer.stage import SyncDreamer
from epimesh.stages.wonder3d.stage import Wonder3D
from epimesh.stages.zero123.cascade import CascadeZero123
from epimesh.stages.zero123.generator import Zero123
from epimesh.stages.zero123.published_generator import PublishedZero123
from epimesh.stages.zero123.small_cascade import SmallCascadeZero123
from epimesh.stages.zero123plus.stage import Zero123Plus

__all__ = [
    "BakeTexture",
    "CascadeZero123",
    "CoarsePrior",
    "CutOut",
    "PublishedZero123",
    "SalientCoverage",
    "SmallCascadeZero123",
    "SmallSyncDreamer",
    "SyncDreamer",
    "Wonder3D",
    "Zero123",
    "Zero123Plus",
]
