"""The stages from photo to latents, and from mesh to textured mesh."""

from epimesh.stages.cascade.small_stage import SmallCascadeZero123
from epimesh.stages.cascade.stage import CascadeZero123
from epimesh.stages.coarse_prior.stage import CoarsePrior
from epimesh.stages.pivot.stage import PivotViews
from epimesh.stages.read.cut_out import CutOut
from epimesh.stages.read.salient_coverage import SalientCoverage
from epimesh.stages.syncdreamer.small_stage import SmallSyncDreamer
from epimesh.stages.syncdreamer.stage import SyncDreamer
from epimesh.stages.texture.bake import BakeTexture
from epimesh.stages.texture.distilled import DistilledTexture
from epimesh.stages.volume_prior.stage import VolumePrior
from epimesh.stages.volume_prior.views import PriorViews
from epimesh.stages.wonder3d.stage import Wonder3D
from epimesh.stages.zero123.small_stage import SmallZero123
from epimesh.stages.zero123.stage import Zero123
from epimesh.stages.zero123plus.stage import Zero123Plus

__all__ = [
    "BakeTexture",
    "CascadeZero123",
    "CoarsePrior",
    "CutOut",
    "DistilledTexture",
    "PivotViews",
    "PriorViews",
    "SalientCoverage",
    "SmallCascadeZero123",
    "SmallSyncDreamer",
    "SmallZero123",
    "SyncDreamer",
    "VolumePrior",
    "Wonder3D",
    "Zero123",
    "Zero123Plus",
]


def __getattr__(name: str) -> type:
    """The class of a former name; see `pipeline.renamed`."""
    from epimesh.pipeline.renamed import CLASSES, renamed

    if name not in CLASSES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    found: type = globals()[renamed(name, CLASSES)]
    return found
