"""Published models whose weights cannot ship with this package: where people get them, and what to do with them."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Remote:
    """Where weights, or some parts of them, lie on the Hugging Face hub.

    Args:
        repository: OWNER/NAME.
        file: a checkpoint in it; empty where the repository has one folder for every part.
        parts: folders that are needed; alternative names separated by |.
        becomes: the part that a file of bare weights is for; empty for checkpoints of whole models.
    """

    repository: str
    file: str = ""
    parts: tuple[str, ...] = ()
    becomes: str = ""


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published model.

    Args:
        command: the model's name for `epimesh convert`; empty where nothing is to be converted.
        file: name of the checkpoint, or of the repository that has a folder for every part.
        gigabytes: size of the download; about, where a repository may hold several versions.
        licence: as its publisher states it.
        page: where to download it.
        converted_gigabytes: size of the folder in the end.
        remotes: where `epimesh weights get` finds it on the hub.
        url: where it finds it elsewhere.
        commercial: whether its licence clearly lets results be sold.
        consent: the word that accepts the licence where it does not allow commercial use; empty where none is needed.
    """

    command: str = ""
    file: str
    gigabytes: float
    licence: str
    page: str
    converted_gigabytes: float
    remotes: tuple[Remote, ...] = ()
    url: str = ""
    commercial: bool = True
    consent: str = ""


_WONDER3D = ("unet", "vae", "image_encoder", "scheduler")
_ZERO123PLUS = ("unet", "vae", "text_encoder", "tokenizer", "vision_encoder", "scheduler")

PUBLISHED = {
    "syncdreamer": Published(
        command="syncdreamer",
        file="syncdreamer-pretrain.ckpt",
        gigabytes=5.6,
        licence="MIT, as the repository github.com/liuyuan-pal/SyncDreamer states it",
        page="the link under 'Download checkpoints' at https://github.com/liuyuan-pal/SyncDreamer",
        converted_gigabytes=5.4,
        remotes=(Remote(repository="camenduru/SyncDreamer", file="syncdreamer-pretrain.ckpt"),),
    ),
    "zero123": Published(
        command="zero123",
        file="105000.ckpt",
        gigabytes=15.5,
        licence="MIT, as the repository github.com/cvlab-columbia/zero123 states it",
        page="https://huggingface.co/cvlab/zero123-weights",
        converted_gigabytes=5.0,
        remotes=(Remote(repository="cvlab/zero123-weights", file="105000.ckpt"),),
    ),
    "zero123-xl": Published(
        command="zero123",
        file="zero123-xl.ckpt",
        gigabytes=15.5,
        licence="MIT, as the repository github.com/cvlab-columbia/zero123 states it",
        page="https://zero123.cs.columbia.edu/assets/zero123-xl.ckpt",
        converted_gigabytes=5.0,
        url="https://zero123.cs.columbia.edu/assets/zero123-xl.ckpt",
    ),
    "stable-zero123": Published(
        command="stable-zero123",
        file="stable_zero123.ckpt",
        gigabytes=8.6,
        licence="Stability AI's own, non-commercial research; accept it on the page",
        page="https://huggingface.co/stabilityai/stable-zero123",
        converted_gigabytes=5.0,
        remotes=(Remote(repository="stabilityai/stable-zero123", file="stable_zero123.ckpt"),),
        commercial=False,
        consent="stabilityai-nc",
    ),
    "wonder3d": Published(
        file="flamehaze1115/wonder3d-v1.0",
        gigabytes=5.0,
        licence="contradictory: AGPL-3.0 on the weights' card, MIT in the repository github.com/xxlong0/Wonder3D",
        page="https://huggingface.co/flamehaze1115/wonder3d-v1.0",
        converted_gigabytes=5.0,
        remotes=(Remote(repository="flamehaze1115/wonder3d-v1.0", parts=_WONDER3D),),
        commercial=False,  # as long as its publisher contradicts himself
    ),
    "zero123plus": Published(
        file="sudo-ai/zero123plus-v1.2",
        gigabytes=5.0,
        licence="CC-BY-NC 4.0 for the weights, as the repository github.com/SUDO-AI-3D/zero123plus states it",
        page="https://huggingface.co/sudo-ai/zero123plus-v1.2",
        converted_gigabytes=5.0,
        remotes=(Remote(repository="sudo-ai/zero123plus-v1.2", parts=_ZERO123PLUS),),
        commercial=False,
        consent="cc-by-nc-4.0",
    ),
    "instantmesh-views": Published(
        file="TencentARC/InstantMesh",
        gigabytes=8.5,
        licence="Apache-2.0 for its UNet; CC-BY-NC 4.0 for all else, which is Zero123++ v1.2's",
        page="https://huggingface.co/TencentARC/InstantMesh",
        converted_gigabytes=6.8,
        remotes=(
            Remote(repository="sudo-ai/zero123plus-v1.2", parts=tuple(p for p in _ZERO123PLUS if p != "unet")),
            Remote(repository="sudo-ai/zero123plus-v1.2", file="unet/config.json"),
            Remote(repository="TencentARC/InstantMesh", file="diffusion_pytorch_model.bin", becomes="unet"),
        ),
        commercial=False,
        consent="cc-by-nc-4.0",
    ),
}


def home() -> Path:
    """Where converted weights are kept: $EPIMESH_WEIGHTS, or a folder in the user's cache."""
    return Path(os.environ.get("EPIMESH_WEIGHTS", "~/.cache/epimesh/weights")).expanduser()


def folder_of(name: str) -> Path:
    """Where the converted weights of a published model are, or a part of them (`NAME/PART`)."""
    return home() / name


def how_to_get(name: str) -> str:
    """Which command fetches a published model or a part of it, and what to do by hand instead."""
    model = name.partition("/")[0]
    if model not in PUBLISHED:
        return f"Published models that epimesh knows: {', '.join(sorted(PUBLISHED))}."
    known = PUBLISHED[model]
    consent = f" --accept-licence {known.consent}" if known.consent else ""
    by_hand = (
        f"By hand: download {known.file} from {known.page}, then\n"
        f"  epimesh convert {known.command} {known.file} {folder_of(model)}\n"
        if known.command
        else ""
    )
    return (
        f"Get it, about {known.gigabytes} GB ({known.licence}):\n"
        f"  epimesh weights get {model}{consent}\n"
        f"or add --download to this command. {by_hand}"
        "Set EPIMESH_WEIGHTS to keep weights elsewhere. The default preset needs no download."
    )
