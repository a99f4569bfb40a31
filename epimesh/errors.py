"""Errors a user can act on. Each message says what was found, what was expected, and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class EpimeshError(Exception):
    """Base of every error this package raises on purpose. The command line prints it and exits with code 2."""


class BadInput(EpimeshError, ValueError):
    """A file or value given by the user cannot be used."""


class WeightsNotFound(EpimeshError, FileNotFoundError):
    """A `weights:` setting names nothing that can be opened."""


class BadWeights(EpimeshError, ValueError):
    """A weights folder is there, but damaged, or made for another model."""


class StageMismatch(EpimeshError, ValueError):
    """Two neighbouring stages of a pipeline do not fit together."""


class LicenceRefused(EpimeshError, ValueError):
    """The licence of something that is needed does not allow what was asked for."""


class MissingExtra(EpimeshError, ImportError):
    """An optional package is needed for what was asked."""


class StageFailed(EpimeshError, RuntimeError):
    """A stage ran, but what it made is not usable (an empty mesh, a surface outside the frame)."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question for a message, with a space before it, or nothing if no known name is like this one."""
    near = get_close_matches(name, known, n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
