"""A process that makes meshes. It can be stopped at any moment; what it had finished of a photo is kept on disk."""

import time
import traceback
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection

import numba
import torch

from epimesh.apps.work.maker import Maker
from epimesh.apps.work.order import Broke, Event, Order, Report, TookTooLong, WorkerLost
from epimesh.errors import EpimeshError


def deaf(event: Event) -> None:
    """Hears nothing."""


class WorkerProcess:
    """A process with a `Maker` in it, which keeps what it has loaded from one order to the next."""

    def __init__(self, threads: int | None = None) -> None:
        """Starts the process; `threads` of each library, or as many as they like."""
        context = get_context("spawn")  # a forked copy of a process with threads may hang
        self._here, there = context.Pipe()
        self._process = context.Process(target=_work, args=(there, threads), daemon=True)
        self._process.start()
        there.close()

    @property
    def pid(self) -> int | None:
        """The number of the process."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it can take an order."""
        return self._process.is_alive()

    def make(self, order: Order, hear: Callable[[Event], None] = deaf, seconds: float | None = None) -> Report:
        """Waits until the order is made.

        Args:
            order: what to make.
            hear: is told what happens meanwhile.
            seconds: after so many the process is ended; None waits for ever.

        Raises:
            EpimeshError: as `Maker.make` does.
            WorkerLost: the process ended, or was stopped by `close`.
            TookTooLong: `seconds` are over.
            Broke: a mistake in the program.
        """
        end = None if seconds is None else time.monotonic() + seconds
        try:
            self._here.send(order)
            while self._here.poll(None if end is None else max(0.0, end - time.monotonic())):
                message = self._here.recv()
                if isinstance(message, EpimeshError):
                    raise message
                if isinstance(message, dict):
                    return message
                hear(message)
        except (EOFError, OSError) as error:
            if isinstance(error, EpimeshError):  # some of these are OSErrors, too
                raise
            self._process.join(_PATIENCE)
            raise WorkerLost(
                f"The process that worked on {order.photo.name} ended ({_why(self._process.exitcode)}).\n"
                "Most often memory ran out. Try again: stages that were done are kept."
            ) from error
        self.close()
        raise TookTooLong(
            f"{order.photo.name} took longer than {seconds:.0f} seconds and was stopped.\n"
            "Use a quicker preset, or allow more time."
        )

    def close(self) -> None:
        """Ends the process, also in the middle of an order."""
        self._process.kill()
        self._process.join(_PATIENCE)


_PATIENCE = 10.0


def _why(code: int | None) -> str:
    if code is None:
        return "it does not answer"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _work(there: Connection, threads: int | None) -> None:
    """What runs in the process: orders in, events and reports out, until nobody asks any more."""
    if threads is not None:
        torch.set_num_threads(threads)
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    maker = Maker()
    while True:
        try:
            order = there.recv()
        except (EOFError, KeyboardInterrupt):
            return
        there.send(_made(maker, order, there))


def _made(maker: Maker, order: Order, there: Connection) -> Report | EpimeshError:
    try:
        return maker.make(order, there.send)
    except EpimeshError as error:
        return type(error)(*error.args)  # without the frames, which cannot be sent
    except Exception as error:
        traceback.print_exc()
        return Broke(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
