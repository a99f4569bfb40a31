"""Presets: YAML files that fill the slots of the pipeline, found by name or by path, in layers, with overrides."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, Namespace
from yaml import YAMLError, safe_load

from epimesh.errors import BadInput, EpimeshError
from epimesh.pipeline.preset_file import check_preset
from epimesh.pipeline.preset_layers import without_replaced

if TYPE_CHECKING:
    from epimesh.pipeline.image_to_3d import ImageTo3D

PRESETS = Path(__file__).parent.parent / "configs" / "presets"
DEFAULT = "small"

# Stages are named by class path. These packages are imported first, so that a bare class name works for their stages.
_STAGE_PACKAGES = ("epimesh.stages", "epimesh.decoders", "epimesh.reconstruction")

_LONGEST_MESSAGE = 2000  # characters of what jsonargparse says, which quotes what it was given
_OF_ONE_RUN = ("photo", "folder", "out", "json", "redo_from", "preset")

# Friendly names of settings that many people want.
_SHORTCUTS = {
    "--mask": "--read.mask",
    "--elevation": "--read.elevation_deg",
    "--steps": "--views.steps",
    "--faces": "--mesh.faces",
    "--texture-size": "--texture.size",
}


def names() -> list[str]:
    """The presets that ship with the package."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def description(name: str) -> str:
    """What a preset says of itself: the comment in its first lines."""
    lines = find(name).read_text(encoding="utf-8").splitlines()
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return " ".join(comment)


def find(name: str) -> Path:
    """The YAML file of a preset given by name or path.

    Raises:
        BadInput: there is no such preset.
    """
    shipped = PRESETS / f"{name}.yaml"
    if shipped.is_file():
        return shipped
    path = _typed(name)
    if path is not None and path.is_file():
        check_preset(path)
        return path
    raise BadInput(
        f"There is no preset '{name}'.\nExpected the path of a YAML file, or one of: {', '.join(names())}.\n"
        "See them with: epimesh presets"
    )


def _typed(name: str) -> Path | None:
    """What a person typed as a path, or None where that is none (~nobody, a NUL)."""
    try:
        return None if "\0" in name else Path(name).expanduser()
    except RuntimeError:
        return None


def as_preset(config: Namespace) -> Namespace:
    """What of a parsed configuration a preset may say: all but the input, and where and how results are reported."""
    kept = config.clone()
    for key in _OF_ONE_RUN:
        kept.pop(key, None)
    return kept


def add_pipeline_arguments(parser: ArgumentParser, default: str = DEFAULT) -> None:
    """Adds `--preset` and one argument per slot. `default` is for the help; `prepared` decides."""
    from epimesh.pipeline.image_to_3d import ImageTo3D  # torch takes seconds to import, and lists need none

    for package in _STAGE_PACKAGES:
        import_module(package)
    parser.add_argument(
        "--preset",
        action=ActionConfigFile,
        help=f"name of a preset or path of a YAML file; may be repeated, later ones override (default: {default})",
    )
    parser.add_class_arguments(ImageTo3D, None)


def prepared(arguments: Sequence[str], default: str = DEFAULT) -> list[str]:
    """The arguments with preset names as paths, shortcuts written out, and the default preset where none is given."""
    result: list[str] = []
    waiting = False
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if waiting:
            result.append(str(find(argument)))
            waiting = False
        elif name == "--preset" and equals:
            result.append(f"--preset={find(value)}")
        else:
            waiting = argument == "--preset"
            result.append(_SHORTCUTS.get(name, name) + equals + value)
    if not any(argument.startswith("--preset") for argument in result):
        result.insert(0, f"--preset={find(default)}")
    return without_replaced(_presets_first(result))


def _presets_first(arguments: list[str]) -> list[str]:
    """Presets are layers below the overrides, wherever they stand on the command line."""
    presets: list[str] = []
    others: list[str] = []
    iterator = iter(arguments)
    for argument in iterator:
        if argument == "--preset":
            presets.append(f"--preset={next(iterator, '')}")
        elif argument.startswith("--preset="):
            presets.append(argument)
        else:
            others.append(argument)
    return presets + others


def parse(parser: ArgumentParser, arguments: Sequence[str]) -> Namespace:
    """Parses arguments; a mistake becomes a BadInput with jsonargparse's explanation.

    Raises:
        BadInput: an unknown setting or class, a value of the wrong type, a YAML file that is not a preset.
    """
    try:
        return parser.parse_args(list(arguments))
    except ArgumentError as error:
        raise BadInput(
            f"{str(error)[:_LONGEST_MESSAGE]}\nAll settings: {parser.prog} --help. Those of one stage: "
            f"{parser.prog} --views.help Zero123"
        ) from error


def pipeline_of(parser: ArgumentParser, config: Namespace) -> "ImageTo3D":
    """The pipeline that a parsed configuration describes. Costs nothing: stages load weights when called."""
    from epimesh.pipeline.image_to_3d import SLOTS, ImageTo3D

    try:
        made = parser.instantiate_classes(config)
    except (ValueError, TypeError) as error:  # jsonargparse wraps what the stage of an optional slot says
        if isinstance(error, EpimeshError):
            raise
        if isinstance(error.__cause__, EpimeshError):
            raise error.__cause__ from None
        raise BadInput(
            f"A setting has a value of the wrong kind ({str(error)[:300]}).\n"
            f"The settings of a stage: {parser.prog} --views.help Zero123"
        ) from error
    slots: dict[str, Any] = {slot: made[slot] for slot in SLOTS}
    return ImageTo3D(**slots)


def pipeline_from(arguments: Sequence[str]) -> "ImageTo3D":
    """The pipeline of command-line arguments such as `["--preset=small", "--views.steps=10"]`."""
    parser = ArgumentParser(prog="epimesh run", exit_on_error=False)
    add_pipeline_arguments(parser)
    return pipeline_of(parser, parse(parser, prepared(arguments)))


def settings_of(name: str) -> dict[str, Any]:
    """The raw YAML of a preset.

    Raises:
        BadInput: the file is not a YAML mapping.
    """
    try:
        content = safe_load(find(name).read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{name} is not a YAML file ({error}).\nExpected a preset: see `epimesh presets`.") from error
    if not isinstance(content, dict):
        raise BadInput(f"{name} holds {type(content).__name__}, but a preset is a mapping of slots to stages.")
    return content
