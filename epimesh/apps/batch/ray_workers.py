"""Many photos on a Ray cluster: one actor per worker, which keeps its models from photo to photo."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from epimesh.apps.batch.task import Made, Task, made_whole
from epimesh.apps.work.maker import Maker
from epimesh.apps.work.order import Broke, Report, TookTooLong, WorkerLost
from epimesh.apps.work.process import deaf
from epimesh.errors import BadInput, EpimeshError, MissingExtra

_LOOK = 1.0  # seconds between two looks for photos that take too long


class Worker:
    """The actor."""

    def __init__(self, threads: int | None) -> None:
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        self._maker = Maker()

    def make(self, task: Task) -> Report | EpimeshError:
        """A report, or why there is none; of its own accord an actor raises nothing."""
        try:
            return made_whole(task, lambda order: self._maker.make(order, deaf))
        except EpimeshError as error:
            return type(error)(*error.args)
        except Exception as error:
            return Broke(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")

    def where(self) -> str:
        """Node and process."""
        import ray

        return f"{ray.get_runtime_context().get_node_id()[:8]} process {os.getpid()}"


@dataclass(eq=False)
class _Running:
    """A photo at an actor."""

    actor: Any
    task: Task
    tries: int
    started: float
    first: float


class RayWorkers:
    """Actors that take one photo after the other.

    Args:
        workers: how many.
        address: of the cluster: "auto", host:port, or "local" for one on this machine.
        gpus: of each worker; a share is possible.
        threads, seconds, tries: as of `LocalWorkers`.

    Raises:
        MissingExtra: ray is not installed.
        BadInput: there is no such cluster.
    """

    def __init__(
        self, workers: int, address: str, *, gpus: float, threads: int | None, seconds: float | None, tries: int
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise MissingExtra(f"--address needs ray ({error}).\nInstall it: pip install 'epimesh[ray]'") from error
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise BadInput(f"No Ray cluster at '{address}' ({reason}).\nStart one: ray start --head") from error
        self._ray = ray
        self._workers, self._threads, self._seconds, self._tries = workers, threads, seconds, tries
        cpus = float(threads or 1)
        self._kind = ray.remote(Worker).options(num_cpus=cpus, num_gpus=gpus, scheduling_strategy="SPREAD")

    def each(self, tasks: Sequence[Task]) -> Iterator[Made]:
        """Makes all of them and yields how each ended, as they end."""
        rest = iter(tasks)
        running: dict[Any, _Running] = {}
        try:
            for task in islice(rest, self._workers):
                self._start(running, self._actor(), task)
            while running:
                done, _ = self._ray.wait(list(running), timeout=_LOOK)
                for made, actor in [*(self._ended(running, one) for one in done), *self._too_slow(running)]:
                    if made is not None:
                        yield made
                        following = next(rest, None)
                        if following is not None:
                            self._start(running, actor, following)
        finally:
            self._ray.shutdown()

    def _actor(self) -> Any:
        return self._kind.remote(self._threads)

    def _start(self, running: dict[Any, _Running], actor: Any, task: Task, tries: int = 1, first: float = 0.0) -> None:
        now = time.monotonic()
        running[actor.make.remote(task)] = _Running(actor, task, tries, now, first or now)

    def _ended(self, running: dict[Any, _Running], reference: Any) -> tuple[Made | None, Any]:
        """How a photo ended, and the actor for the next one; of a lost actor the photo is given to a new one."""
        one = running.pop(reference)
        try:
            result = self._ray.get(reference)
            where = self._ray.get(one.actor.where.remote())
        except self._ray.exceptions.RayError as error:
            actor = self._actor()
            if one.tries < self._tries:
                self._start(running, actor, one.task, one.tries + 1, one.first)
                return None, actor
            reason = " ".join(str(error).split())[:200]
            result, where = WorkerLost(f"The worker of {one.task.item.name} was lost ({reason})."), "lost"
            return self._made(one, result, where), actor
        return self._made(one, result, where), one.actor

    def _too_slow(self, running: dict[Any, _Running]) -> Iterator[tuple[Made, Any]]:
        if self._seconds is None:
            return
        for reference, one in list(running.items()):
            if time.monotonic() - one.started > self._seconds:
                del running[reference]
                self._ray.kill(one.actor)
                error = TookTooLong(
                    f"{one.task.item.name} took longer than {self._seconds:.0f} seconds; it was stopped."
                )
                yield self._made(one, error, "stopped"), self._actor()

    def _made(self, one: _Running, result: Report | EpimeshError, worker: str) -> Made:
        seconds = time.monotonic() - one.first
        return Made(task=one.task, result=result, seconds=seconds, tries=one.tries, worker=worker)
