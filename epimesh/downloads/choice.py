"""Which files of a repository are read: configurations, and of every folder's weights one version."""

from collections.abc import Iterable, Sequence

from epimesh.downloads.hub import HubFile
from epimesh.errors import BadWeights

_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_SMALL = (".json", ".txt", ".md")


def readable(files: Iterable[HubFile]) -> list[HubFile]:
    """Every folder's configuration and its safetensors, in full precision where there is one.

    Raises:
        BadWeights: there are no safetensors at all, only files that may hold code.
    """
    chosen = _by_folder(files, half=False, pickled=False)
    if not any(file.name.endswith(".safetensors") for file in chosen):
        raise BadWeights(
            "The repository holds no safetensors, only files that would have to be unpickled.\n"
            "Convert it first: `epimesh weights list` has what can be fetched and converted; for others download the "
            "checkpoint and use `epimesh convert`."
        )
    return chosen


def parts(
    files: Sequence[HubFile], names: Sequence[str], where: str, *, half: bool = False, pickled: bool = False
) -> list[HubFile]:
    """The files of some folders: configurations, and one version of the weights of each.

    Args:
        files: all that there are.
        names: of the folders that are needed; alternatives are separated by |.
        where: the repository, for messages.
        half: prefer the version in half precision.
        pickled: take weights that have to be unpickled where there are no others.

    Raises:
        BadWeights: a folder, or its weights, are missing.
    """
    kinds = "safetensors or .bin" if pickled else "safetensors"
    chosen: list[HubFile] = [file for file in files if file.name in ("model_index.json", "README.md")]
    for name in names:
        inside = [file for file in files if file.folder.rpartition("/")[2] in name.split("|")]
        some = _by_folder(inside, half=half, pickled=pickled)
        if not inside or (not any(_weights(file) for file in some) and name not in _WITHOUT_WEIGHTS):
            there = sorted({file.folder for file in files if file.folder})
            raise BadWeights(
                f"{where} lacks the part '{name}', or its weights as {kinds}; nothing was downloaded.\n"
                f"Expected {', '.join(names)}; found {', '.join(there)}. It is another model, or was changed."
            )
        chosen += some
    return chosen


_WITHOUT_WEIGHTS = ("scheduler", "tokenizer", "feature_extractor", "feature_extractor_clip", "feature_extractor_vae")


def _by_folder(files: Iterable[HubFile], *, half: bool, pickled: bool) -> list[HubFile]:
    chosen = []
    folders: dict[str, list[HubFile]] = {}
    for file in files:
        if _weights(file):
            folders.setdefault(file.folder, []).append(file)
        elif file.name.endswith(_SMALL) and not file.name.endswith(".index.json"):
            chosen.append(file)
    for some in folders.values():
        ranked = sorted((_rank(file, half), file.name, file) for file in some)
        chosen += [file for rank, _, file in ranked[:1] if pickled or file.name.endswith(".safetensors")]
    return chosen


def _weights(file: HubFile) -> bool:
    name = file.name.rpartition("/")[2]
    return name.split(".")[0] in _STEMS and name.endswith((".safetensors", ".bin"))


def _rank(file: HubFile, half: bool) -> tuple[bool, bool, bool]:
    """Low for what is wanted: safetensors first, then the precision, then the averaged weights beside raw ones."""
    name = file.name.rpartition("/")[2]
    return not name.endswith(".safetensors"), (".fp16" in name) != half, "ema" not in name
