"""Processes that tests start."""

HANG = 900
"""Seconds after which a process hangs: none takes a third of them, even on a slow machine with three workers."""
