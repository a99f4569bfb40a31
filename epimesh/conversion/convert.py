"""The conversion of a whole checkpoint: what becomes of every key, then the folders, complete or not at all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from epimesh.conversion import names, sizes
from epimesh.conversion.parts import Change, Origin, Part
from epimesh.conversion.sizes import PUBLISHED, UNET, VAE, Shapes, Unstated
from epimesh.diffusion.schedules import NoiseSchedule
from epimesh.errors import BadInput, BadWeights
from epimesh.files.atomic import atomic_folder
from epimesh.stages.shared.photo_token import PhotoToken
from epimesh.stages.syncdreamer.unet import DepthUNet
from epimesh.stages.syncdreamer.volume import SpatialVolume
from epimesh.weights.loading import empty

_BUFFERS = (
    "betas",
    "alphas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
)
_TEXT = ("token_embedding.weight", "positional_embedding", "ln_final.weight", "ln_final.bias")
_CLIP_UNUSED = (*_TEXT, "text_projection", "logit_scale")
_EMA = "model_ema."
_CHANGES: dict[str, Change] = {"q": "query", "k": "key", "v": "value"}


@dataclass(frozen=True, eq=False)
class Plan:
    """What becomes of a checkpoint.

    Args:
        parts: the folders that are written.
        left: keys that are not converted, each with the reason.
    """

    parts: list[Part]
    left: Mapping[str, str]

    @property
    def converted(self) -> set[str]:
        """Keys that become a part of a folder."""
        return {origin.key for part in self.parts for origin in part.origins.values()}


def plan_syncdreamer(tensors: Mapping[str, Tensor], where: str, unstated: Unstated = PUBLISHED) -> Plan:
    """What becomes of a SyncDreamer checkpoint.

    Raises:
        BadWeights: it is of another model, or a key or shape is missing, unknown or wrong.
    """
    shapes = _shapes(tensors)
    _expect(shapes, "spatial_volume.target_encoder.init_conv.weight", "SyncDreamer", where)
    return _complete(lambda: _syncdreamer(tensors, shapes, unstated), shapes, where)


def plan_zero123(
    tensors: Mapping[str, Tensor], where: str, unstated: Unstated = PUBLISHED, *, raw: bool = False
) -> Plan:
    """What becomes of a Zero-1-to-3 checkpoint; Stable Zero123 has the same layout.

    Args:
        tensors: by published name.
        where: the file, for messages.
        unstated: sizes that shapes do not tell.
        raw: take the last weights of training instead of their moving average, where there is one.

    Raises:
        BadWeights: it is of another model, or a key or shape is missing, unknown or wrong.
    """
    shapes = _shapes(tensors)
    if "spatial_volume.target_encoder.init_conv.weight" in shapes:
        raise BadWeights(f"{where} is a SyncDreamer checkpoint.\nConvert it with: epimesh convert syncdreamer")
    _expect(shapes, "cond_stage_model.model.visual.proj", "Zero-1-to-3", where)
    return _complete(lambda: _zero123(tensors, shapes, unstated, raw), shapes, where)


def write(plan: Plan, tensors: Mapping[str, Tensor], out: Path, card: str, dtype: torch.dtype) -> None:
    """Writes the folders of a plan; nothing is left behind if that fails.

    Raises:
        BadInput: `out` is there already.
    """
    refuse_existing(out)
    with atomic_folder(out) as unfinished:
        unfinished.mkdir()
        for part in plan.parts:
            part.write(tensors, unfinished, dtype)
        published_scheduler().save_pretrained(unfinished / "scheduler")
        (unfinished / "README.md").write_text(card, encoding="utf-8")


def refuse_existing(out: Path) -> None:
    """Refuses to write over something.

    Raises:
        BadInput: `out` is there already.
    """
    if out.exists():
        raise BadInput(f"{out} is there already.\nGive the name of a folder that does not exist yet, or remove it.")


def published_scheduler() -> DDIMScheduler:
    """The schedule of both models as diffusers describes it."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def _syncdreamer(tensors: Mapping[str, Tensor], shapes: Shapes, unstated: Unstated) -> Plan:
    clip = "clip_image_encoder.model."
    levels, layers = sizes.unet_layers(shapes)
    frustum = sizes.frustum_channels(shapes)
    unet = empty(DepthUNet, {"unet_config": sizes.unet_config(shapes, unstated), "frustum_channels": frustum})
    inner = {old: f"unet.{new}" for old, new in names.unet_modules(levels, layers).items()}
    unet_names = _renamed(shapes, UNET, inner | names.depth_modules(levels, layers))
    image_size = round(float(tensors["Ks"][0, 0, 2]) * 2)
    volume = empty(
        SpatialVolume,
        {
            **sizes.volume_config(shapes, unstated),
            "image_size": image_size,
            "world_to_camera": tensors["poses"].tolist(),
            "intrinsics": tensors["Ks"].tolist(),
            "azimuth": tensors["azimuth"].tolist(),
        },
    )
    volume_names = _renamed(shapes, "", names.volume_modules(len(frustum)))
    parts = [
        Part("unet", unet, unet_names),
        Part("volume", volume, volume_names),
        *_shared_parts(shapes, clip, unstated),
    ]
    kept_in_config = dict.fromkeys(("poses", "Ks", "azimuth"), "kept in volume/config.json")
    return Plan(parts, kept_in_config | _left(tensors, clip))


def _zero123(tensors: Mapping[str, Tensor], shapes: Shapes, unstated: Unstated, raw: bool) -> Plan:
    clip = "cond_stage_model.model."
    levels, layers = sizes.unet_layers(shapes)
    unet = empty(UNet2DConditionModel, sizes.unet_config(shapes, unstated))
    raw_names = _renamed(shapes, UNET, names.unet_modules(levels, layers))
    averaged = {new: Origin(_ema_key(origin.key), origin.change) for new, origin in raw_names.items()}
    has_average = any(name.startswith(_EMA) for name in shapes)
    taken, other = (averaged, raw_names) if has_average and not raw else (raw_names, averaged)
    left = {origin.key: "the weights that were not asked for" for origin in other.values() if origin.key in shapes}
    left |= dict.fromkeys((f"{_EMA}decay", f"{_EMA}num_updates"), "only needed to train on")
    parts = [Part("unet", unet, taken), *_shared_parts(shapes, clip, unstated)]
    return Plan(parts, left | _left(tensors, clip))


def _shared_parts(shapes: Shapes, clip: str, unstated: Unstated) -> list[Part]:
    vae = empty(AutoencoderKL, sizes.vae_config(shapes, unstated))
    vae_names = {
        new: Origin(origin.key, "flattened" if ".attentions." in new else "none")
        for new, origin in _renamed(shapes, VAE, names.vae_modules(*sizes.vae_layers(shapes))).items()
    }
    with torch.device("meta"):
        encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes.clip_config(shapes, clip, unstated)))
    width, joined = shapes["cc_projection.weight"]
    token = empty(PhotoToken, {"clip_width": width, "pose_width": joined - width})
    return [
        Part("vae", vae, vae_names),
        Part("image_encoder", encoder, _clip_names(shapes, clip)),
        Part("photo_token", token, _renamed(shapes, "", {"cc_projection": "projection"})),
    ]


def _clip_names(shapes: Shapes, prefix: str) -> dict[str, Origin]:
    origins: dict[str, Origin] = {}
    modules = names.clip_modules(sizes.clip_layers(shapes, prefix))
    for new, origin in _renamed(shapes, prefix, modules).items():
        if "*" in new:
            origins |= {new.replace("*", letter): Origin(origin.key, change) for letter, change in _CHANGES.items()}
        elif new == "visual_projection.weight":
            origins[new] = Origin(origin.key, "transposed")
        else:
            origins[new] = origin
    return origins


def _renamed(shapes: Shapes, prefix: str, modules: Mapping[str, str]) -> dict[str, Origin]:
    inside = [name[len(prefix) :] for name in shapes if name.startswith(prefix)]
    return {new: Origin(prefix + old) for old, new in names.renamed(inside, modules).items()}


def _left(tensors: Mapping[str, Tensor], clip: str) -> dict[str, str]:
    _check_schedule(tensors)
    return dict.fromkeys(_BUFFERS, "the schedule, computed again") | dict.fromkeys(
        (clip + name for name in _CLIP_UNUSED), "CLIP's text side, which is not used"
    )


def _check_schedule(tensors: Mapping[str, Tensor]) -> None:
    kept, wanted = tensors["alphas_cumprod"].double(), NoiseSchedule.scaled_linear().alphas_cumprod
    if kept.shape != wanted.shape or not torch.allclose(kept, wanted, atol=2e-6, rtol=0):
        raise BadWeights(
            f"The checkpoint's noise schedule has {len(kept)} times and ends at {float(kept[-1]):.6f}.\n"
            f"Expected that of the published models: {len(wanted)} times, ending at {float(wanted[-1]):.6f}."
        )


def _complete(make: Callable[[], Plan], shapes: Shapes, where: str) -> Plan:
    """The plan, after every key of the checkpoint and every tensor of the parts was accounted for."""
    try:
        plan = make()
    except (KeyError, IndexError) as error:
        raise BadWeights(
            f"{where} lacks {error}.\nIt is cut off or of another model. Download the published file again."
        ) from error
    for part in plan.parts:
        missing = sorted({origin.key for origin in part.origins.values()} - shapes.keys())
        if missing:
            raise BadWeights(f"{where} lacks {len(missing)} tensors: {', '.join(missing[:3])} ...\nDownload it again.")
        part.check(shapes, f"{where} ({part.folder})")
    unknown = sorted(shapes.keys() - plan.converted - plan.left.keys())
    if unknown:
        raise BadWeights(
            f"{where} holds {len(unknown)} tensors that these models do not have: {', '.join(unknown[:3])} ...\n"
            "It is of another model or another version of it."
        )
    return plan


def _expect(shapes: Shapes, marker: str, name: str, where: str) -> None:
    if marker not in shapes:
        raise BadWeights(
            f"{where} is not a {name} checkpoint: it has {len(shapes)} tensors, but no {marker}.\n"
            f"The first are {', '.join(sorted(shapes)[:3])}. Download the published {name} file."
        )


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _ema_key(key: str) -> str:
    return _EMA + key.removeprefix("model.").replace(".", "")
