"""What the parsers of `epimesh eval` share."""

from typing import TYPE_CHECKING

from epimesh.errors import BadInput

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def parser_of(name: str, description: str) -> "ArgumentParser":
    """A parser with its description as it is written."""
    from argparse import RawDescriptionHelpFormatter

    from jsonargparse import ArgumentParser, DefaultHelpFormatter

    class Formatter(DefaultHelpFormatter, RawDescriptionHelpFormatter):
        """Keeps the line breaks of the description."""

    return ArgumentParser(
        prog=f"epimesh eval {name}", description=description, exit_on_error=False, formatter_class=Formatter
    )


def parsed(parser: "ArgumentParser", arguments: list[str]) -> "Namespace":
    """The settings; a mistake becomes a BadInput."""
    from jsonargparse import ArgumentError

    try:
        return parser.parse_args(arguments)
    except ArgumentError as error:
        raise BadInput(f"{error}\nAll settings: {parser.prog} --help") from error
