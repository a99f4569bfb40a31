"""Progress bars, warnings and notes in the terminal."""

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")

WORDS = {
    "read": "cutting out the object",
    "views": "imagining the other sides",
    "decode": "drawing the views",
    "reconstruct": "finding the surface",
    "refine": "improving the surface",
    "mesh": "making triangles",
    "texture": "painting the texture",
    "turntable": "filming the turntable",
}
"""What every slot does, as people say it."""

_HEARTBEAT_SECONDS = 60.0


class Terminal:
    """The reporter that draws bars and prints warnings and notes, on stderr so that stdout stays for results.

    Where stderr is no terminal but a log, bars become lines: one when a stage begins, and one every minute.
    """

    def __init__(self, quiet: bool = False, heartbeat_seconds: float = _HEARTBEAT_SECONDS) -> None:
        """`quiet` draws nothing and only keeps warnings and notes."""
        self.warnings: list[str] = []
        self.notes: list[str] = []
        self.console = Console(file=sys.stderr, quiet=quiet, highlight=False)
        self._heartbeat = heartbeat_seconds
        self._words = ""
        self._share = ""
        self._progress: Progress | None = None

    def track(self, items: Iterable[T], description: str, total: int) -> Iterator[T]:
        """Yields `items` and moves a bar, which disappears at the end."""
        words = f"{self._words}: {description}" if self._words else description
        alone = not self._words and not self.console.is_terminal
        with self.busy(description) if alone else nullcontext(), self._bars() as progress:
            task = progress.add_task(words, total=total)
            for number, item in enumerate(items):
                yield item
                progress.advance(task)
                self._share = f" ({'' if alone else f'{description}: '}{number + 1} of {total})"
            progress.remove_task(task)
        self._share = ""

    @contextmanager
    def busy(self, slot: str) -> Iterator[None]:
        """A moving bar with the words for a slot; in a log, a line at once and one every minute."""
        self._words = WORDS.get(slot, slot)
        try:
            if self.console.is_terminal:
                with self._bars() as progress:
                    progress.add_task(self._words, total=None)
                    yield
            else:
                with self._beating():
                    yield
        finally:
            self._words = ""

    @contextmanager
    def _beating(self) -> Iterator[None]:
        """Prints what goes on, now and every minute."""
        started, over = time.monotonic(), threading.Event()

        def beat() -> None:
            while not over.wait(self._heartbeat):
                self.say(f"{self._words}: {time.monotonic() - started:.0f} s{self._share}")

        self.say(f"{self._words} ...")
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @contextmanager
    def _bars(self) -> Iterator[Progress]:
        """The bars that are shown, made by whoever comes first; a bar within another's time joins it."""
        if self._progress is not None:
            yield self._progress
            return
        columns = (TextColumn("  {task.description}"), BarColumn(), TaskProgressColumn(show_speed=False))
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        hidden = not self.console.is_terminal
        with Progress(*columns, *times, console=self.console, transient=True, disable=hidden) as self._progress:
            try:
                yield self._progress
            finally:
                self._progress = None

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
        self.console.print(message, markup=False)
