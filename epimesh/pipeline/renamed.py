"""Names that changed. Old ones work for one release, with a warning of one line; saved outputs keep their keys.

A stage is named by its public path, `epimesh.ROOM.CLASS`. Where it lies within the room may change.
"""

import sys
import warnings
from typing import Any

CLASSES = {
    "PublishedZero123": "Zero123",
    "epimesh.stages.PublishedZero123": "epimesh.stages.Zero123",
    "epimesh.stages.bake.BakeTexture": "epimesh.stages.BakeTexture",
    "epimesh.stages.coarse_prior.stage.CoarsePrior": "epimesh.stages.CoarsePrior",
    "epimesh.stages.cut_out.CutOut": "epimesh.stages.CutOut",
    "epimesh.stages.syncdreamer.small_stage.SmallSyncDreamer": "epimesh.stages.SmallSyncDreamer",
    "epimesh.stages.syncdreamer.stage.SyncDreamer": "epimesh.stages.SyncDreamer",
    "epimesh.stages.zero123.cascade.CascadeZero123": "epimesh.stages.CascadeZero123",
    "epimesh.stages.zero123.generator.Zero123": "epimesh.stages.SmallZero123",
    "epimesh.stages.zero123.published_generator.PublishedZero123": "epimesh.stages.Zero123",
    "epimesh.stages.zero123.small_cascade.SmallCascadeZero123": "epimesh.stages.SmallCascadeZero123",
    "epimesh.decoders.epipolar.depth_sources.CoarseDepth": "epimesh.decoders.CoarseDepth",
    "epimesh.decoders.epipolar.depth_sources.GivenDepth": "epimesh.decoders.GivenDepth",
    "epimesh.decoders.epipolar.small_stage.SmallEpipolarDecoder": "epimesh.decoders.SmallEpipolarDecoder",
    "epimesh.decoders.epipolar.stage.EpipolarDecoder": "epimesh.decoders.EpipolarDecoder",
    "epimesh.decoders.vae.VaeDecoder": "epimesh.decoders.VaeDecoder",
    "epimesh.reconstruction.marching_cubes.MarchingCubes": "epimesh.reconstruction.MarchingCubes",
    "epimesh.reconstruction.neus.stage.NeuS": "epimesh.reconstruction.NeuS",
    "epimesh.reconstruction.visual_hull.VisualHull": "epimesh.reconstruction.VisualHull",
    "epimesh.training.autoencoder.PatchAutoencoderTraining": (
        "epimesh.training.patch_autoencoder.training.PatchAutoencoderTraining"
    ),
    "epimesh.training.coarse_prior.CoarsePriorTraining": "epimesh.training.coarse_prior.training.CoarsePriorTraining",
    "epimesh.training.epipolar_data.SixViewData": "epimesh.training.epipolar.data.SixViewData",
    "epimesh.training.epipolar_decoder.EpipolarDecoderTraining": (
        "epimesh.training.epipolar.training.EpipolarDecoderTraining"
    ),
    "epimesh.training.epipolar_small.SmallEpipolarTraining": (
        "epimesh.training.epipolar.small_training.SmallEpipolarDecoderTraining"
    ),
    "epimesh.training.joint_generator.JointGeneratorTraining": (
        "epimesh.training.syncdreamer.small_training.SmallSyncDreamerTraining"
    ),
    "epimesh.training.pack_data.PackData": "epimesh.training.data.pack_data.PackData",
    "epimesh.training.posed_pairs.PackPosedPairData": "epimesh.training.data.view_pairs.PackViewPairData",
    "epimesh.training.published_cascade.PublishedCascadeTraining": (
        "epimesh.training.cascade.training.CascadeZero123Training"
    ),
    "epimesh.training.published_joint.PublishedJointTraining": (
        "epimesh.training.syncdreamer.training.SyncDreamerTraining"
    ),
    "epimesh.training.ring_data.RingData": "epimesh.training.coarse_prior.data.RingData",
    "epimesh.training.ring_views.PackRingData": "epimesh.training.data.ring_batches.PackRingData",
    "epimesh.training.small_cascade.SmallCascadeTraining": (
        "epimesh.training.cascade.small_training.SmallCascadeZero123Training"
    ),
    "epimesh.training.view_generator.ViewGeneratorTraining": (
        "epimesh.training.zero123.small_training.SmallZero123Training"
    ),
}
"""What a configuration may say: bare names and paths of classes, old to new."""

PRESETS = {"zero123-hero": "zero123-small-hero"}


def with_new_names(content: Any) -> Any:
    """The content of a configuration, its old names of classes replaced."""
    if isinstance(content, dict):
        return {key: with_new_names(value) for key, value in content.items()}
    if isinstance(content, list):
        return [with_new_names(value) for value in content]
    return renamed(content, CLASSES) if isinstance(content, str) else content


def renamed(name: str, names: dict[str, str]) -> str:
    """A name as it is today; warns if it was an old one."""
    if name not in names:
        return name
    message = f"'{name}' is called '{names[name]}' now; the old name works until the next release."
    warnings.warn(message, FutureWarning, stacklevel=2)
    return names[name]


def public_path(kind: type) -> str:
    """`epimesh.ROOM.CLASS` of a class that its room offers, else the path of the module that defines it."""
    room = ".".join(kind.__module__.split(".")[:2])
    offered = getattr(sys.modules.get(room), kind.__name__, None)
    return f"{room if offered is kind else kind.__module__}.{kind.__qualname__}"


def key_path(kind: type) -> str:
    """The path that keys of saved outputs are made with: the one that the class had when there were none before."""
    path = public_path(kind)
    return next((old for old, new in CLASSES.items() if new == path and old.count(".") > 2), path)
