"""Leaves out of presets what sets up stages that are replaced: settings of one class say nothing to another one.

Both may have a setting of the same name, `weights` for instance, and a value that suits only one of them.
"""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from yaml import YAMLError, safe_dump, safe_load

_PRESET = "--preset="


def without_replaced(arguments: Sequence[str]) -> list[str]:
    """The arguments, but no preset sets up a stage whose slot a later preset, or an override, gives to another class.

    Args:
        arguments: `--preset=PATH` for each layer, the lowest first, then overrides as `--name=value` or `--name value`.
    """
    presets = [argument for argument in arguments if argument.startswith(_PRESET)]
    others = [argument for argument in arguments if not argument.startswith(_PRESET)]
    classes = _overriding(others)
    kept = [_kept(preset, classes) for preset in reversed(presets)]
    return [*reversed(kept), *others]


def _overriding(arguments: Sequence[str]) -> dict[str, str]:
    """Classes that the overrides name, by slot."""
    found = {}
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, equals, value = argument.partition("=")
        if name.startswith("--"):
            chosen = _class_in(value if equals else following)
            if chosen:
                found[name[2:]] = chosen
    return found


def _class_in(value: str) -> str | None:
    """The class of a stage, given by name or as a mapping; other values name none that a preset could."""
    try:
        content = safe_load(value)
    except YAMLError:
        return None
    if isinstance(content, dict):
        content = content.get("class_path")
    return content.rpartition(".")[2] if isinstance(content, str) else None


def _kept(preset: str, classes: dict[str, str]) -> str:
    """The preset as it was, or its content without what is replaced. Notes its own classes in `classes`."""
    try:
        content = safe_load(Path(preset[len(_PRESET) :]).read_text(encoding="utf-8"))
    except (OSError, YAMLError, UnicodeDecodeError):
        return preset  # whoever parses it says what is wrong
    if not isinstance(content, dict) or not _pruned(content, "", classes):
        return preset
    return _PRESET + safe_dump(content)


def _pruned(content: dict[Any, Any], prefix: str, classes: dict[str, str]) -> bool:
    """Takes out replaced stages, however deep; whether there were any."""
    changed = False
    for name, value in list(content.items()):
        slot = f"{prefix}{name}"
        if not isinstance(value, dict) or not isinstance(value.get("class_path"), str):
            continue
        own = value["class_path"].rpartition(".")[2]
        if classes.setdefault(slot, own) != own:
            del content[name]
            changed = True
        elif isinstance(value.get("init_args"), dict):
            changed = _pruned(value["init_args"], f"{slot}.", classes) or changed
    return changed
