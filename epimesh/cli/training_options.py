"""The options of a training, read from its configuration and sources: explained and checked before torch is there."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from yaml import YAMLError, safe_load

from epimesh.cli.lists import with_lists
from epimesh.errors import BadInput
from epimesh.pipeline.class_source import ClassSource, class_source
from epimesh.pipeline.early_check import fits
from epimesh.pipeline.renamed import with_new_names

_LIST_KINDS = ("list[", "tuple[", "Sequence[")
_TRAINER = """Trainer (Lightning's; --help-all lists everything):
  --trainer.max_steps N        stop after so many steps     --trainer.devices N      GPUs of this machine
  --trainer.accelerator cpu    or gpu, auto                 --trainer.num_nodes N    machines
  --trainer.log_every_n_steps  steps between lines (50)     --trainer.logger         TensorBoardLogger, WandbLogger
Folders:
  --out FOLDER                 for checkpoints and export, instead of {folder}
  --resume                     go on from last.ckpt in that folder"""


@dataclass(frozen=True)
class TrainingSource:
    """What a configuration says, and what its classes take.

    Args:
        settings: of the YAML file.
        model: the class that learns; None if it is not of this package.
        data: the class that reads; None if it is not of this package.
    """

    settings: dict[str, Any]
    model: ClassSource | None
    data: ClassSource | None

    def part(self, name: str) -> ClassSource | None:
        """The class of `model` or `data`."""
        return {"model": self.model, "data": self.data}.get(name)

    @property
    def folder(self) -> Path:
        """Where checkpoints go; where there are none, the export."""
        callbacks = self.settings.get("trainer", {}).get("callbacks") or []
        folders = [one.get("init_args", {}).get("dirpath") for one in callbacks if isinstance(one, dict)]
        named = [folder for folder in folders if folder]
        return Path(named[0] if named else self.settings.get("model", {}).get("init_args", {}).get("export", "out"))

    @property
    def keeps_checkpoints(self) -> bool:
        """Whether the configuration has a callback for them."""
        callbacks = self.settings.get("trainer", {}).get("callbacks") or []
        return any("ModelCheckpoint" in str(one) for one in callbacks)


def training_source(config: Path) -> TrainingSource:
    """Reads a configuration and the sources of its classes.

    Raises:
        BadInput: it is no YAML, or no training.
    """
    try:
        settings = with_new_names(safe_load(config.read_text(encoding="utf-8")))
    except (OSError, YAMLError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{config} is not a YAML file ({str(error)[:300]}).\nExpected a training: model, data."
        ) from error
    if not isinstance(settings, dict):
        raise BadInput(f"{config} holds {type(settings).__name__}, but a training is a mapping: model, data, trainer.")
    return TrainingSource(settings, _class_of(settings.get("model")), _class_of(settings.get("data")))


def _class_of(part: Any) -> ClassSource | None:
    path = part.get("class_path") if isinstance(part, dict) else None
    return class_source(path) if isinstance(path, str) and "." in path else None


def with_typed_lists(arguments: Sequence[str], source: TrainingSource) -> list[str]:
    """The arguments with lists in brackets: those of settings that take lists, and wherever several words follow."""
    parts = [("model", source.model), ("data", source.data)]
    options = [
        f"--{part}.{setting.name}"
        for part, known in parts
        if known is not None
        for setting in known.settings.values()
        if setting.kind.startswith(_LIST_KINDS)
    ]
    return with_lists(arguments, options)


def check_typed(arguments: Sequence[str], source: TrainingSource, name: str) -> None:
    """Refuses settings that model and data do not have, and values of another kind.

    Raises:
        BadInput: by the name that was typed.
    """
    for number, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        part, _, rest = option.removeprefix("--").partition(".")
        known = source.part(part)
        if not option.startswith("--") or known is None or not rest or rest == "help":
            continue
        setting = known.settings.get(rest.removeprefix("init_args.").partition(".")[0])
        if setting is None:
            near = get_close_matches(rest, known.settings, 1)
            meant = f" Did you mean --{part}.{near[0]}?" if near else ""
            raise BadInput(
                f"{option}: {known.name} has no setting '{rest}'.{meant}\n"
                f"Expected one of: {', '.join(known.settings)}. All: epimesh train {name} --help"
            )
        value = value if equals else next(iter(arguments[number + 1 : number + 2]), "")
        if rest in known.settings and not fits(setting.kind, value):
            raise BadInput(f"{option} {value}: expected {setting.kind}.\nAll settings: epimesh train {name} --help")


def with_out(arguments: Sequence[str], source: TrainingSource) -> list[str]:
    """The arguments with `--out FOLDER` written out: the export, and where checkpoints go."""
    written, rest = [], list(arguments)
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if option not in ("--out", "-o"):
            written.append(f"{option}{equals}{value}")
            continue
        folder = value if equals else (rest.pop(0) if rest else "")
        if not folder or folder.startswith("-"):
            raise BadInput("--out was given no value.\nExpected --out FOLDER, for checkpoints and export.")
        written.append(f"--model.export={folder}")
        if source.keeps_checkpoints:
            written.append(f"--trainer.callbacks.dirpath={folder}")
    return written


def ready_folder(arguments: Sequence[str], source: TrainingSource) -> list[str]:
    """The arguments, if no earlier training's checkpoints are in the way; with `--resume`, going on from the last one.

    Raises:
        BadInput: checkpoints are there and nobody said what is to become of them, or there is none to go on from.
    """
    resume, others = "--resume" in arguments, [one for one in arguments if one != "--resume"]
    named = [one.partition("=")[2] for one in others if one.startswith("--trainer.callbacks.dirpath=")]
    folder = Path(named[-1]) if named else source.folder
    found = sorted(folder.glob("*.ckpt"))
    if resume and not (folder / "last.ckpt").is_file():
        raise BadInput(
            f"There is no last.ckpt in {folder} to go on from.\nLeave out --resume to begin, or name it: --out FOLDER."
        )
    if resume:
        return [*others, f"--ckpt_path={folder / 'last.ckpt'}"]
    goes_on = any(one.partition("=")[0] == "--ckpt_path" for one in others)
    if found and source.keeps_checkpoints and not goes_on:
        raise BadInput(
            f"{folder} holds {found[0].name}{' and others' if len(found) > 1 else ''} of an earlier training.\n"
            "Go on with it: add --resume. Begin anew: choose another folder with --out FOLDER, or move this one away."
        )
    return others


def short_help(name: str, source: TrainingSource) -> str:
    """Settings of model and data, with what the configuration sets them to; then the trainer's most wanted ones."""
    lines = [f"usage: epimesh train {name} [settings]"]
    for part in ("model", "data"):
        known = source.part(part)
        if known is None:
            lines.append(f"{part}: not of this package; see --help-all")
            continue
        chosen = source.settings[part].get("init_args") or {}
        lines.append(f"{part.capitalize()}: {known.name}. {known.summary}")
        for setting in known.settings.values():
            value = chosen.get(setting.name, setting.default)
            lines.append(_line(f"--{part}.{setting.name}", _plain(value), setting.help))
    return "\n".join([*lines, _TRAINER.format(folder=source.folder)])


def _plain(value: object) -> str:
    if value is None:
        return "to be given"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _line(option: str, value: str, text: str) -> str:
    line = f"  {option:<27} {text} ({value})"
    return line if len(line) <= 140 else f"{line[:134].rpartition(' ')[0]} ... ({value})"
