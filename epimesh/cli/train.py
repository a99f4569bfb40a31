"""`epimesh train`: the networks of the stages, by PyTorch Lightning on the same configuration language."""

import warnings
from pathlib import Path

CONFIGS = Path(__file__).parent.parent / "configs" / "training"

_USAGE = """Trains a network. CONFIG is a YAML file or one of: {names}.

examples:
  epimesh train patch-autoencoder --data.train [renders/train]
  epimesh train patch-autoencoder --data.train [renders/train] --trainer.max_steps 100 --ckpt_path last.ckpt

usage: epimesh train CONFIG [settings of model, data and trainer]
"""


def main(arguments: list[str]) -> int:
    """Trains by LightningCLI; the first argument names the configuration."""
    names = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE.format(names=", ".join(names)))
        return 0
    from epimesh.errors import BadInput

    shipped, given = CONFIGS / f"{arguments[0]}.yaml", Path(arguments[0])
    config = shipped if shipped.is_file() else given
    if not config.is_file():
        raise BadInput(f"There is no training '{arguments[0]}'.\nExpected a YAML file or one of: {', '.join(names)}.")

    _fit(["fit", "--config", _current(config), *arguments[1:]], arguments[0])
    return 0


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
    from pytorch_lightning import LightningDataModule, LightningModule
    from pytorch_lightning.cli import LightningCLI

    from epimesh.errors import BadInput, EpimeshError

    # sys.argv stays: for several devices Lightning starts the same command once for each.
    warnings.filterwarnings("ignore", message="LightningCLI's args parameter")
    try:
        LightningCLI(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,
            seed_everything_default=0,
            parser_kwargs={"prog": "epimesh train", "exit_on_error": False, "fit": {"exit_on_error": False}},
            args=arguments,
        )
    except ValueError as error:  # jsonargparse wraps what a constructor says
        if isinstance(error.__cause__, EpimeshError) and not isinstance(error, EpimeshError):
            raise error.__cause__ from None
        raise
    except ArgumentError as error:
        raise BadInput(f"{error}\nAll settings: epimesh train {name} --help") from error
