"""Progress bars, warnings and notes in the terminal."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")


class Terminal:
    """The reporter that draws bars and prints warnings and notes, on stderr so that stdout stays for results."""

    def __init__(self, quiet: bool = False) -> None:
        """`quiet` draws nothing and only keeps warnings and notes."""
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.console = Console(file=sys.stderr, quiet=quiet, highlight=False)

    def track(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        """Yields `items` and moves a bar, which disappears at the end."""
        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            yield from progress.track(items, total=total, description=description)

    def warn(self, message: str) -> None:
        """Prints a warning."""
        self.warnings.append(message)
        self.console.print(f"[yellow]warning[/yellow] {message}", markup=True)

    def note(self, message: str) -> None:
        """Prints a fact."""
        self.notes.append(message)
        self.say(message)

    def say(self, message: str) -> None:
        """Prints a line."""
        self.console.print(message)
