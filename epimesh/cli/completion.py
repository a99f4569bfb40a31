"""`epimesh completion`: commands, options, presets and stages by TAB, in bash and zsh."""

from argparse import SUPPRESS, Action, ArgumentParser

import shtab

from epimesh.cli import COMMANDS
from epimesh.cli.pipeline_options import PipelineCommand
from epimesh.pipeline.class_source import stage_names, stage_source
from epimesh.pipeline.early_check import SHORTCUTS, classes_of
from epimesh.pipeline.presets import names, settings_of

_DESCRIPTION = """Prints a script that completes commands, options, presets and stages.

bash:  epimesh completion bash > ~/.local/share/bash-completion/completions/epimesh
zsh:   epimesh completion zsh > "${fpath[1]}/_epimesh"
"""


def main(arguments: list[str]) -> int:
    """Prints the script for a shell."""
    from argparse import RawDescriptionHelpFormatter

    parser = ArgumentParser(
        prog="epimesh completion",
        description=_DESCRIPTION,
        exit_on_error=False,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=["bash", "zsh", "tcsh"])
    shell = parser.parse_args(arguments).shell
    print(shtab.complete(_everything(), shell))
    return 0


def _everything() -> ArgumentParser:
    """All commands with their options, as plain argparse knows them. Needs no torch."""
    from epimesh.cli import reconstruct, run, train

    whole = ArgumentParser(prog="epimesh")
    commands = whole.add_subparsers()
    for name, words in COMMANDS.items():
        parser = commands.add_parser(name, help=words, description=words)
        if name in ("run", "reconstruct"):
            _add_pipeline(parser, run.COMMAND if name == "run" else reconstruct.COMMAND)
        if name == "train":
            parser.add_argument("config", choices=sorted(path.stem for path in train.CONFIGS.glob("*.yaml")))
        if name == "presets":
            parser.add_argument("name", choices=names(), nargs="?")
    return whole


def _add_pipeline(parser: ArgumentParser, command: PipelineCommand) -> None:
    """Options of a command with a pipeline; stages' settings are those of its default preset."""
    for action in command.own_parser()._actions:
        _add_option(parser, action)
    parser.add_argument("--preset", choices=names(), help="what fills the slots")
    for shortcut, setting in SHORTCUTS.items():
        if setting.removeprefix("--").partition(".")[0] in command.slots:
            parser.add_argument(shortcut, help=f"short for {setting}")
    for slot, path in classes_of(settings_of(command.preset)):
        if slot in command.slots and (stage := stage_source(path)) is not None:
            parser.add_argument(f"--{slot}", choices=stage_names(), help=f"stage for {slot}")
            for one in stage.settings.values():
                parser.add_argument(f"--{slot}.{one.name}", help=one.help.replace("%", "%%") or one.name)


def _add_option(parser: ArgumentParser, action: Action) -> None:
    """The same option as plain argparse has it; what is no option is a file."""
    typed = [option for option in action.option_strings if not option.endswith("+")]
    if typed and action.dest != "help":
        parser.add_argument(*typed, dest=action.dest, help=_words(action))
    elif not typed:
        _completes_files(parser.add_argument(action.dest, help=_words(action)))


def _completes_files(action: Action) -> None:
    action.complete = shtab.FILE  # type: ignore[attr-defined]


def _words(action: Action) -> str:
    return str(action.help).replace("%", "%%") if action.help not in (None, SUPPRESS) else action.dest
