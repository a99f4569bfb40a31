"""How often an address has come within the last minute."""

import time
from collections import deque
from threading import Lock

_MINUTE = 60.0
_MOST_ADDRESSES = 10_000


class Rate:
    """Counts visits per address; forgets those of more than a minute ago."""

    def __init__(self, most: int) -> None:
        """`most` visits in any minute."""
        self._most = most
        self._visits: dict[str, deque[float]] = {}
        self._lock = Lock()

    def allows(self, address: str) -> bool:
        """Counts a visit and says whether it is one too many."""
        now = time.monotonic()
        with self._lock:
            if len(self._visits) > _MOST_ADDRESSES:
                self._visits = {who: when for who, when in self._visits.items() if when and now - when[-1] < _MINUTE}
            visits = self._visits.setdefault(address, deque())
            while visits and now - visits[0] > _MINUTE:
                visits.popleft()
            if len(visits) >= self._most:
                return False
            visits.append(now)
            return True
