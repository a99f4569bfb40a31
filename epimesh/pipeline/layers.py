"""Layers of settings as plain dictionaries: presets over presets, overrides over all.

Where a layer gives a slot to another class, what the layers below said of the slot is left out: settings of one class
say nothing to another. Both may have a setting of the same name, `weights` for instance, and a value that suits one.
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from yaml import YAMLError, safe_load

Layer = dict[str, Any]


def layered(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> Layer:
    """The settings of both; where they differ, those of `upper`."""
    result = dict(lower)
    for name, value in upper.items():
        below = result.get(name)
        if not isinstance(below, dict) or _class_of(value) not in (None, _class_of(below)):
            result[name] = value
        elif isinstance(value, dict):
            result[name] = layered(below, value)
        elif _class_of(value) is None:
            result[name] = value
    return result


def without_overridden(layer: Mapping[str, Any], arguments: Sequence[str]) -> Layer:
    """The settings without stages, however deep, whose slot an argument gives to another class.

    Args:
        layer: of presets.
        arguments: overrides as `--name=value` or `--name value`.
    """
    return _without(layer, "", _classes_in(arguments))


def _without(layer: Mapping[str, Any], prefix: str, classes: Mapping[str, str]) -> Layer:
    kept = {}
    for name, value in layer.items():
        slot = f"{prefix}{name}"
        own = _class_of(value)
        if own is not None and classes.get(slot, own) != own:
            continue
        if isinstance(value, dict) and isinstance(value.get("init_args"), dict):
            value = {**value, "init_args": _without(value["init_args"], f"{slot}.", classes)}
        kept[name] = value
    return kept


def _classes_in(arguments: Sequence[str]) -> dict[str, str]:
    """Classes that the arguments name, by slot."""
    found = {}
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, equals, value = argument.partition("=")
        if name.startswith("--") and (chosen := _class_named(value if equals else following)):
            found[name[2:]] = chosen
    return found


def _class_named(value: str) -> str | None:
    """The class of a stage in an argument, given by name or as a mapping; other values name none."""
    try:
        content = safe_load(value)
    except YAMLError:
        return None
    return content.rpartition(".")[2] if isinstance(content, str) else _class_of(content)


def _class_of(value: Any) -> str | None:
    """The name of the class that a mapping describes, without its module."""
    path = value.get("class_path") if isinstance(value, dict) else None
    return path.rpartition(".")[2] if isinstance(path, str) else None
