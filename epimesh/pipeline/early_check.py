"""Checks what the command line says of stages before any of them is imported, which takes seconds.

A mistake is told by the name that was typed. Stages of other packages and settings of nested classes that are no
stages are left to the parser proper, which checks everything again.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

from yaml import YAMLError, safe_load

from epimesh.errors import BadInput
from epimesh.pipeline.class_source import ClassSource, Setting, stage_names, stage_source

SHORTCUTS = {
    "--mask": "--read.mask",
    "--elevation": "--read.elevation_deg",
    "--steps": "--views.steps",
    "--faces": "--mesh.faces",
    "--texture-size": "--texture.size",
}
"""Friendly names of settings that many people want."""

_PLAIN = {"int": (int,), "float": (int, float), "bool": (bool,), "None": (type(None),)}


@dataclass(frozen=True)
class Override:
    """One setting of a stage on the command line.

    Args:
        typed: the option as it was typed, without its value.
        name: the setting with its slot, e.g. "views.steps".
        value: the text behind it.
    """

    typed: str
    name: str
    value: str


def classes_of(layer: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The stages that a preset names, nested ones too: dotted slot and class path."""
    for name, value in layer.items():
        if isinstance(value, dict) and isinstance(value.get("class_path"), str):
            yield f"{prefix}{name}", value["class_path"]
            yield from classes_of(value.get("init_args") or {}, f"{prefix}{name}.")


def check_overrides(layer: Mapping[str, Any], overrides: Sequence[Override]) -> None:
    """Refuses settings that the stages do not have, and values that are no numbers where numbers are wanted.

    Args:
        layer: the presets, merged.
        overrides: of the command line, in its order.

    Raises:
        BadInput: names what was typed, what was expected, and what to do.
    """
    classes = dict(classes_of(layer))
    classes.update({one.name: one.value for one in overrides if "." not in one.name and _names_class(one.value)})
    for override in overrides:
        _check(override, classes)


def _check(override: Override, classes: dict[str, str]) -> None:
    parts = [part for part in override.name.split(".") if part != "init_args"]
    if parts[-1] in ("help", "class_path"):
        return
    if len(parts) == 1:
        _check_stage(override)
        return
    slot = ".".join(parts[:-1])
    stage = stage_source(classes[slot]) if slot in classes else None
    if stage is None:
        return
    if parts[-1] not in stage.settings:
        raise BadInput(_no_setting(override, slot, stage, parts[-1]))
    setting = stage.settings[parts[-1]]
    if stage_source(override.value) is not None:
        classes[".".join(parts)] = override.value
    elif not fits(setting.kind, override.value):
        raise BadInput(_wrong_kind(override, setting, stage))


def _check_stage(override: Override) -> None:
    """A slot is given to a stage of this package, or to one of another, whose name has a dot."""
    name = override.value
    if not _names_class(name) or "." in name or stage_source(name) is not None:
        return
    near = get_close_matches(name, stage_names(), 1)
    raise BadInput(
        f"{override.typed} {name}: there is no stage of this name."
        f"{_meant(near)}\nExpected one of {', '.join(stage_names())}, or the class path of your own."
    )


def _names_class(value: str) -> bool:
    return value.replace(".", "").replace("_", "").isalnum() and value[:1].isalpha() and value not in ("null", "true")


def _no_setting(override: Override, slot: str, stage: ClassSource, name: str) -> str:
    means = "" if override.typed == f"--{override.name}" else f" (which means --{override.name})"
    near = get_close_matches(name, stage.settings, 1)
    return (
        f"{override.typed}{means}: {stage.name}, which fills the slot '{slot}', has no setting '{name}'."
        f"{_meant([f'--{slot}.{one}' for one in near])}\nExpected one of its settings: {', '.join(stage.settings)}. "
        f"What they mean: epimesh run --{slot}.help {stage.name}"
    )


def _wrong_kind(override: Override, setting: Setting, stage: ClassSource) -> str:
    means = "" if setting.default is None else f", such as {setting.default}"
    return (
        f"{override.typed} {override.value}: '{setting.name}' of {stage.name} is of another kind.\n"
        f"Expected {setting.kind}{means}. What it means: epimesh run --{override.name.rpartition('.')[0]}.help "
        f"{stage.name}"
    )


def _meant(near: Sequence[str]) -> str:
    return f" Did you mean {near[0]}?" if near else ""


def fits(kind: str, value: str) -> bool:
    """Whether a text may be a value of an annotation; True where the source alone cannot tell."""
    wanted = [part.strip() for part in kind.split(" | ")]
    if not all(part in _PLAIN or part.startswith("Literal[") for part in wanted):
        return True
    try:
        content = safe_load(value)
    except YAMLError:
        return False
    return any(_is(part, content) for part in wanted)


def _is(kind: str, content: object) -> bool:
    if kind.startswith("Literal["):
        choices = ast.literal_eval(kind.removeprefix("Literal"))
        return content in choices
    if isinstance(content, str) and kind == "float":
        return _is_number(content)  # 1e-5 is a word to YAML
    return isinstance(content, _PLAIN[kind]) and (kind == "bool") == isinstance(content, bool)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def overrides_in(arguments: Sequence[str], slots: Sequence[str]) -> tuple[list[Override], list[str]]:
    """Settings of stages among the arguments, and all else.

    Args:
        arguments: of the command line.
        slots: of the pipeline.

    Raises:
        BadInput: a setting has no value.
    """
    found, others, taken = [], [], False
    for argument, following in pairwise([*arguments, ""]):
        if taken:
            taken = False
            continue
        typed, equals, value = argument.partition("=")
        name = SHORTCUTS.get(typed, typed).removeprefix("--")
        if not typed.startswith("--") or name.partition(".")[0] not in slots:
            others.append(argument)
            continue
        if not equals:
            value, taken = following, True
        if not equals and (not value or value.startswith("--")):
            raise BadInput(f"{typed} was given no value.\nExpected {typed} VALUE. See: epimesh run --help-all")
        found.append(Override(typed, name, value))
    return found, others
