"""The same work on many objects in many processes; what is wrong with one object stops none of the others."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Protocol, TypeVar, runtime_checkable

import torch

from epimesh.errors import BadInput, EpimeshError, StageFailed


@runtime_checkable
class Job(Protocol):
    """Work on one object."""

    @property
    def id(self) -> str:
        """Name of the object."""


J = TypeVar("J", bound=Job)
Outcome = tuple[str, str | None]  # name of the object; why it was skipped, or None


def each_in_processes(work: Callable[[J], None], jobs: Sequence[J], processes: int) -> Iterator[Outcome]:
    """Does the work on every job, in the order given, and yields how each ended.

    Args:
        work: a function of a module, which can be sent to another process; raises BadInput to skip an object.
        jobs: one per object.
        processes: how many; 1 works in this one.

    Raises:
        StageFailed: a process was killed, most often because memory ran out.
    """
    if processes <= 1:
        for job in jobs:
            yield _outcome(work, job)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        try:
            yield from pool.map(_outcome, [work] * len(jobs), jobs, chunksize=1)
        except BrokenProcessPool as error:
            raise StageFailed(
                f"One of {processes} processes was killed, most often because memory ran out.\n"
                "Run the same command again with fewer --processes: it goes on where it was."
            ) from error


def _one_thread() -> None:
    torch.set_num_threads(1)


def _outcome(work: Callable[[J], None], job: J) -> Outcome:
    try:
        work(job)
    except BadInput as error:
        return job.id, " ".join(str(error).split())
    except (EpimeshError, OSError):  # a missing renderer or a full disk concerns all objects
        raise
    except Exception as error:  # one file that breaks a library must not end the work on all others
        return job.id, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return job.id, None
