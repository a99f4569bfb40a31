"""How much the server takes from strangers, and how it says no."""

from dataclasses import dataclass

from epimesh.errors import EpimeshError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one person, or all of them, may ask for.

    Args:
        megabytes: of one request.
        megapixels: of a photo.
        per_minute: photos of one address.
        waiting: photos in the queue.
        seconds: for making one mesh.
        upload_seconds: for sending a request.
        keep_minutes: how long results are kept.
    """

    megabytes: float = 25.0
    megapixels: float = 50.0
    per_minute: int = 20
    waiting: int = 20
    seconds: float = 1800.0
    upload_seconds: float = 60.0
    keep_minutes: float = 60.0


class Refused(EpimeshError):
    """A request that is not served; `status` is the number in HTTP."""

    status = 400


class NotHere(Refused):
    """Nothing has that name, or has it any more."""

    status = 404


class NotAllowed(Refused):
    """Sent by a page of another site."""

    status = 403


class LoginNeeded(Refused):
    """No name and password, or wrong ones."""

    status = 401


class TooLarge(Refused):
    """More than the server takes."""

    status = 413


class TooSlow(Refused):
    """A request that did not arrive in time."""

    status = 408


class TooMany(Refused):
    """Too many requests of one address."""

    status = 429


class Full(Refused):
    """The queue is full."""

    status = 503
