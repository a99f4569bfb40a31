"""From a command line to a pipeline: presets are merged as dictionaries, and all settings are parsed once."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, Namespace
from yaml import safe_dump

from epimesh.errors import BadInput, EpimeshError
from epimesh.pipeline.class_source import STAGE_PACKAGES
from epimesh.pipeline.early_check import SHORTCUTS
from epimesh.pipeline.layers import Layer, layered, without_overridden
from epimesh.pipeline.presets import DEFAULT, settings_of
from epimesh.pipeline.renamed import CLASSES, renamed

_LONGEST_MESSAGE = 2000  # characters of what jsonargparse says, which quotes what it was given
_OF_ONE_RUN = ("photo", "folder", "out", "json", "redo_from", "preset", "quiet", "verbose", "license_policy")

Pipeline = TypeVar("Pipeline")


def add_pipeline_arguments(parser: ArgumentParser, kind: type, default: str = DEFAULT) -> None:
    """Adds `--preset` and one argument per slot of a pipeline class. `default` is for the help."""
    # Stages are named by class path. With these packages imported, a bare class name works for their stages.
    for package in STAGE_PACKAGES:
        import_module(package)
    parser.add_argument(
        "--preset",
        action=ActionConfigFile,
        help=f"name of a preset or path of a YAML file; may be repeated, later ones override (default: {default})",
    )
    parser.add_class_arguments(kind, None)


def parse(
    parser: ArgumentParser, arguments: Sequence[str], default: str = DEFAULT, *, own: Sequence[str] = ()
) -> Namespace:
    """The settings of a command with a pipeline. Presets lie below the overrides, wherever they stand.

    Args:
        parser: with the arguments of `add_pipeline_arguments`.
        arguments: of the command line.
        default: the preset where none is given.
        own: options of the command itself that are shortcuts elsewhere.

    Raises:
        BadInput: an unknown preset, setting or class, a value of the wrong type, a YAML file that is not a preset.
    """
    presets, others = split(arguments, own)
    merged: Layer = {}
    for name in presets or [default]:
        merged = layered(merged, settings_of(name))
    merged = without_overridden(merged, others)
    try:
        return parser.parse_args([f"--preset={safe_dump(merged)}", *others])
    except ArgumentError as error:
        raise BadInput(
            f"{str(error)[:_LONGEST_MESSAGE]}\nAll settings: {parser.prog} --help. Those of one stage: "
            f"{parser.prog} --views.help SmallZero123"
        ) from error


def split(arguments: Sequence[str], own: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """The names of the presets, and all else with shortcuts written out and names as they are today."""
    presets, others = [], []
    rest: Iterator[str] = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name == "--preset":
            presets.append(value if equals else next(rest, ""))
        elif not name.startswith("--"):
            others.append(renamed(argument, CLASSES))
        else:
            name = name if name in own else SHORTCUTS.get(name, name)
            others.append(f"{name}{equals}{renamed(value, CLASSES)}")
    return presets, others


def as_preset(config: Namespace) -> Namespace:
    """What of a parsed configuration a preset may say: all but the input, and where and how results are reported."""
    kept = config.clone()
    for key in _OF_ONE_RUN:
        kept.pop(key, None)
    return kept


def pipeline_of(parser: ArgumentParser, config: Namespace, kind: type[Pipeline]) -> Pipeline:
    """The pipeline that parsed settings describe. Costs nothing: stages load weights when called."""
    try:
        made = parser.instantiate_classes(config)
    except (ValueError, TypeError) as error:  # jsonargparse wraps what the stage of an optional slot says
        if isinstance(error, EpimeshError):
            raise
        if isinstance(error.__cause__, EpimeshError):
            raise error.__cause__ from None
        raise BadInput(
            f"A setting has a value of the wrong kind ({str(error)[:300]}).\n"
            f"The settings of a stage: {parser.prog} --views.help SmallZero123"
        ) from error
    slots: dict[str, Any] = {slot.name: made[slot.name] for slot in fields(kind)}  # type: ignore[arg-type]
    return kind(**slots)


def pipeline_from(kind: type[Pipeline], arguments: Sequence[str]) -> Pipeline:
    """The pipeline of command-line arguments such as `["--preset=small", "--views.steps=10"]`."""
    parser = ArgumentParser(prog="epimesh run", exit_on_error=False)
    add_pipeline_arguments(parser, kind)
    return pipeline_of(parser, parse(parser, arguments), kind)


def as_arguments(settings: Mapping[str, object]) -> list[str]:
    """Settings of a Python call as the command line has them.

    Raises:
        BadInput: a name without a slot that is no shortcut.
    """
    arguments = []
    for name, value in settings.items():
        option = f"--{name.replace('_', '-')}" if "." not in name else f"--{name}"
        if "." not in name and option not in SHORTCUTS:
            known = ", ".join(shortcut[2:].replace("-", "_") for shortcut in SHORTCUTS)
            raise BadInput(
                f"There is no setting '{name}'.\nExpected one of {known}; or a setting of a stage with its slot, as "
                '**{"views.steps": 20}.'
            )
        arguments.append(f"{option}={json.dumps(value) if not isinstance(value, str | Path) else value}")
    return arguments
