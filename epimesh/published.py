"""Published models whose weights cannot ship with this package: where people get them, and what to do with them."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published checkpoint.

    Args:
        command: the model's name for `epimesh convert`.
        file: name of the checkpoint.
        gigabytes: its size.
        licence: as its publisher states it.
        page: where to download it.
        converted_gigabytes: size of the converted folder.
    """

    command: str
    file: str
    gigabytes: float
    licence: str
    page: str
    converted_gigabytes: float


PUBLISHED = {
    "syncdreamer": Published(
        command="syncdreamer",
        file="syncdreamer-pretrain.ckpt",
        gigabytes=5.6,
        licence="MIT, as the repository github.com/liuyuan-pal/SyncDreamer states it",
        page="the link under 'Download checkpoints' at https://github.com/liuyuan-pal/SyncDreamer",
        converted_gigabytes=5.4,
    ),
    "zero123-xl": Published(
        command="zero123",
        file="zero123-xl.ckpt",
        gigabytes=15.5,
        licence="MIT, as the repository github.com/cvlab-columbia/zero123 states it",
        page="https://zero123.cs.columbia.edu/assets/zero123-xl.ckpt",
        converted_gigabytes=5.0,
    ),
    "stable-zero123": Published(
        command="stable-zero123",
        file="stable_zero123.ckpt",
        gigabytes=8.6,
        licence="Stability AI's own, non-commercial research; accept it on the page",
        page="https://huggingface.co/stabilityai/stable-zero123",
        converted_gigabytes=5.0,
    ),
}


def home() -> Path:
    """Where converted weights are kept: $EPIMESH_WEIGHTS, or a folder in the user's cache."""
    return Path(os.environ.get("EPIMESH_WEIGHTS", "~/.cache/epimesh/weights")).expanduser()


def folder_of(name: str) -> Path:
    """Where the converted weights of a published model are, or a part of them (`NAME/PART`)."""
    return home() / name


def how_to_get(name: str) -> str:
    """What to download and which command to run, for a published model or a part of it."""
    model = name.partition("/")[0]
    if model not in PUBLISHED:
        return f"Published models that epimesh knows: {', '.join(sorted(PUBLISHED))}."
    known = PUBLISHED[model]
    return (
        f"Its weights have to be downloaded and converted once:\n"
        f"  1. download {known.file} (about {known.gigabytes} GB) from {known.page}\n"
        f"     licence: {known.licence}; no checksum is published\n"
        f"  2. epimesh convert {known.command} {known.file} {folder_of(model)}\n"
        f"     (about {known.converted_gigabytes} GB in single precision, half of it with --half)\n"
        f"  3. run this command again\n"
        "Set EPIMESH_WEIGHTS to keep converted weights elsewhere. The default preset needs no download."
    )
