"""Processes that tests start."""

HANG = 900
"""Seconds after which a process counts as hanging; some take minutes where three workers share two slow cores."""
