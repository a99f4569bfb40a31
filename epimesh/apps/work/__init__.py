"""One photo at a time in a process of its own, which can be watched, stopped, and lost without harm."""
