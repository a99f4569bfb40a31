"""`epimesh train`: the networks of the stages, by PyTorch Lightning on the same configuration language."""

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epimesh import __version__
from epimesh.cli.training_options import (
    TrainingSource,
    check_typed,
    ready_folder,
    short_help,
    training_source,
    with_out,
    with_typed_lists,
)
from epimesh.errors import BadInput, EpimeshError

if TYPE_CHECKING:
    from pytorch_lightning.cli import LightningCLI

CONFIGS = Path(__file__).parent.parent / "configs" / "training"

_USAGE = """Trains a network. CONFIG is a YAML file or one of: {names}.

examples:
  epimesh train patch-autoencoder --data.train renders/train renders/procedural
  epimesh train patch-autoencoder --data.train renders/train --trainer.max_steps 100 --out mine
  epimesh train patch-autoencoder --data.train renders/train --out mine --resume
  epimesh train patch-autoencoder --help              settings of this model and its data

usage: epimesh train CONFIG [settings of model, data and trainer]

A line is printed every --trainer.log_every_n_steps, and logs/CONFIG/ gets a CSV file. With 'epimesh[train]' installed:
  --trainer.logger TensorBoardLogger --trainer.logger.save_dir logs     or WandbLogger
"""


def main(arguments: list[str]) -> int:
    """Trains by LightningCLI; the first argument names the configuration."""
    names = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    if not arguments or arguments[0] in ("-h", "--help", "--help-all"):
        print(_USAGE.format(names=", ".join(names)))
        return 0
    name, *settings = arguments
    shipped, given = CONFIGS / f"{name}.yaml", Path(name)
    config = shipped if shipped.is_file() else given
    if not config.is_file():
        raise BadInput(f"There is no training '{name}'.\nExpected a YAML file or one of: {', '.join(names)}.")

    source = training_source(config)
    if "-h" in settings or "--help" in settings:
        print(short_help(name, source))
        return 0
    settings = with_typed_lists(settings, source)
    if "--help-all" in settings:
        settings = ["--help" if word == "--help-all" else word for word in settings]
    else:
        settings = _checked(name, settings, source)
    _fit(["fit", "--config", _current(config), *settings], config.stem)
    return 0


def _checked(name: str, settings: list[str], source: TrainingSource) -> list[str]:
    """The settings as Lightning wants them, if nothing speaks against them."""
    check_typed(settings, source, name)
    settings = ready_folder(with_out(settings, source), source)
    print(f"epimesh {__version__}: training {name}", file=sys.stderr, flush=True)
    return settings


def _current(config: Path) -> str:
    """The path of a configuration; of one with old names of classes, its content with those of today."""
    from yaml import YAMLError, safe_dump, safe_load

    from epimesh.pipeline.renamed import with_new_names

    try:
        content = safe_load(config.read_text())
    except (YAMLError, UnicodeDecodeError):
        return str(config)  # whoever parses it says what is wrong
    current = with_new_names(content)
    return str(config) if current == content else str(safe_dump(current))


def _fit(arguments: list[str], name: str) -> None:
    from jsonargparse import ArgumentError

    # sys.argv stays: for several devices Lightning starts the same command once for each.
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
    try:
        _lightning(arguments, name)
    except ValueError as error:  # jsonargparse wraps what a constructor says
        if isinstance(error.__cause__, EpimeshError) and not isinstance(error, EpimeshError):
            raise error.__cause__ from None
        if "Requirement" in str(error):
            raise _without_extra() from error
        raise
    except ModuleNotFoundError as error:
        if "tensorboard" in str(error) or "wandb" in str(error):
            raise _without_extra() from error
        raise
    except ArgumentError as error:
        raise BadInput(f"{error}\nAll settings: epimesh train {name} --help") from error


def _without_extra() -> EpimeshError:
    from epimesh.errors import MissingExtra

    return MissingExtra(
        "TensorBoard and Weights & Biases are optional packages, and the one asked for is not here.\n"
        "Install both with: pip install 'epimesh[train]', or leave out --trainer.logger: a CSV file is written anyway."
    )


def _lightning(arguments: list[str], name: str) -> "LightningCLI":
    from pytorch_lightning import LightningDataModule, LightningModule
    from pytorch_lightning.cli import LightningCLI

    from epimesh.training.common.step_lines import StepLines

    usual: dict[str, Any] = {
        "logger": {
            "class_path": "pytorch_lightning.loggers.CSVLogger",
            "init_args": {"save_dir": "logs", "name": name},
        },
        "enable_progress_bar": sys.stderr.isatty(),
        "callbacks": [StepLines()],
    }
    return LightningCLI(
        LightningModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_callback=None,
        seed_everything_default=0,
        trainer_defaults=usual,
        parser_kwargs={"prog": "epimesh train", "exit_on_error": False, "fit": {"exit_on_error": False}},
        args=arguments,
    )
