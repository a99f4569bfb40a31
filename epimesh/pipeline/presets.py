"""Presets: YAML files that fill the slots of the pipeline, found by name or by path."""

from pathlib import Path
from typing import Any

from yaml import YAMLError, safe_load

from epimesh.errors import BadInput, did_you_mean
from epimesh.pipeline.preset_file import check_preset
from epimesh.pipeline.renamed import PRESETS as RENAMED
from epimesh.pipeline.renamed import renamed, with_new_names

PRESETS = Path(__file__).parent.parent / "configs" / "presets"
DEFAULT = "volume"


def names() -> list[str]:
    """The presets that ship with the package."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def description(name: str) -> str:
    """What a preset says of itself: the comment in its first lines."""
    comment = []
    for line in find(name).read_text(encoding="utf-8-sig").splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return " ".join(comment)


def find(name: str) -> Path:
    """The YAML file of a preset given by name or path.

    Raises:
        BadInput: there is no such preset.
    """
    shipped = PRESETS / f"{renamed(name, RENAMED)}.yaml"
    if shipped.is_file():
        return shipped
    path = _typed(name)
    if path is not None and path.is_file():
        check_preset(path)
        return path
    raise BadInput(
        f"There is no preset '{name}'.{did_you_mean(name, names())}\n"
        f"Expected the path of a YAML file, or one of: {', '.join(names())}.\n"
        "See them with: epimesh presets"
    )


def _typed(name: str) -> Path | None:
    """What a person typed as a path, or None where that is none (~nobody, a NUL)."""
    try:
        return None if "\0" in name else Path(name).expanduser()
    except RuntimeError:
        return None


def settings_of(name: str) -> dict[str, Any]:
    """The content of a preset, with the names that classes have today.

    Raises:
        BadInput: there is no such preset, or the file is not a YAML mapping.
    """
    path = find(name)
    try:
        content = safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not a YAML file ({error}).\nExpected a preset: see `epimesh presets`.") from error
    if not isinstance(content, dict):
        raise BadInput(
            f"{path} holds {type(content).__name__}, but a preset is a mapping of slots to stages.\n"
            "See one with: epimesh presets small"
        )
    return dict(with_new_names(content))
