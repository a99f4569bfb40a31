"""The command line. Nothing heavy is imported before it is known which command is wanted."""

import contextlib
import io
import json
import os
import sys
import warnings
from argparse import ArgumentError
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from epimesh import __version__
from epimesh.errors import BadInput, EpimeshError

COMMANDS = {
    "run": "from a photo of an object to a textured mesh (GLB)",
    "reconstruct": "from posed views you already have to a textured mesh",
    "batch": "many photos, in many processes or on a Ray cluster",
    "serve": "a web page and an HTTP API on this machine",
    "train": "trains the networks of the stages",
    "convert": "turns published checkpoints of SyncDreamer and Zero-1-to-3 into weights for the presets",
    "weights": "lists, fetches and removes the weights of published models",
    "data": "downloads objects to train with, and keeps their licences",
    "render": "renders objects, real or procedural, into training views",
    "eval": "measures shapes and generators against the truth, beside trivial baselines",
    "presets": "lists the presets and what they are for",
    "doctor": "checks the installation and says what is missing",
    "completion": "prints what makes a shell complete these commands with TAB",
}

_USAGE = """epimesh {version}: from one photo of an object to a textured mesh.

usage: epimesh COMMAND [arguments]

{commands}

Start with:
  epimesh run chair.jpg                     writes runs/chair/chair.glb, a turntable and the generated views
  epimesh run chair.jpg --preset fast       a first look in seconds
  epimesh COMMAND --help                    the settings of a command

Options for every command: --debug shows the whole traceback of an error; -V the version.
"""
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif")


def usage() -> str:
    """What `epimesh --help` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return _USAGE.format(version=__version__, commands="\n".join(lines))


def main(arguments: list[str] | None = None) -> int:
    """Runs one command. Returns the exit code: 0 done, 1 a bug, 2 an error the user can act on, 130 stopped."""
    _say_what_the_terminal_can()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if "#" in arguments:  # zsh passes comments on that were copied from a page
        arguments = arguments[: arguments.index("#")]
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:2], "--help"]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    if arguments[0] in ("-V", "--version", "version"):
        print(f"epimesh {__version__}")
        return 0
    if arguments[0] not in COMMANDS and arguments[0].lower().endswith(_PICTURES):
        arguments = ["run", *arguments]
    return _run(arguments[0], arguments[1:], debug)


def _say_what_the_terminal_can() -> None:
    """Names in scripts that a terminal or a code page lacks are written as escapes, not refused at the last line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _forget_stdout() -> None:
    """What could not be printed is not tried again when Python ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _called(command: str, arguments: list[str]) -> int:
    """Runs the command; what cannot be printed at its end is an error, too."""
    code = int(import_module(f"epimesh.cli.{command}").main(arguments))
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()
    return code


def _run(command: str, arguments: list[str], debug: bool) -> int:
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _in_one_line  # type: ignore[assignment]
            if command not in COMMANDS:
                raise BadInput(_no_command(command))
            return _called(command, arguments)
    except BrokenPipeError:
        # Whoever read our output has left, as `| head` does. Nothing more is printed, at exit neither.
        _forget_stdout()
        return 0
    except KeyboardInterrupt:
        print("\nStopped. Run the same command again to go on: finished stages are reused.", file=sys.stderr)
        return 130
    except (EpimeshError, ArgumentError, OSError, MemoryError) as error:
        if debug:
            raise
        _tell(command, error, as_json="--json" in arguments)
        return 2


def _no_command(command: str) -> str:
    near = get_close_matches(command, COMMANDS, 1)
    meant = f" Did you mean epimesh {near[0]}?" if near else ""
    return f"There is no command '{command[:60]}'.{meant}\nExpected one of: {', '.join(COMMANDS)}. See: epimesh --help"


def _tell(command: str, error: Exception, as_json: bool) -> None:
    """Prints what a person reads of an error that is no bug; for machines the same as JSON, on stdout."""
    kind, text = _told(command, error)
    if as_json:
        with contextlib.suppress(OSError, ValueError):
            print(json.dumps({"error": {"type": kind, "message": text, "command": command, "exit_code": 2}}))
    print(text if kind == "OSError" else f"{kind}: {text}", file=sys.stderr)
    if isinstance(error, OSError) and not isinstance(error, EpimeshError):
        _forget_stdout()


def _told(command: str, error: Exception) -> tuple[str, str]:
    """The kind of an error, and its text."""
    if isinstance(error, EpimeshError):
        return type(error).__name__, str(error)
    if isinstance(error, ArgumentError):
        return "BadInput", f"{error}\nAll settings: epimesh {command} --help"
    if isinstance(error, OSError):
        return "OSError", (
            f"{command} failed: {error.strerror or error} ({error.filename or 'output'}).\n"
            "Check the disk, the permissions, and that the folder you are in still exists."
        )
    return "MemoryError", "Out of memory. Expected a few GB free; close programs or use --preset fast."


def _in_one_line(message: Warning | str, category: type[Warning], *_: Any) -> None:
    """Warnings as people read them, without the line of code that gave them."""
    print(f"{category.__name__}: {message}", file=sys.stderr)
