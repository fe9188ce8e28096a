"""The networks, written by hand, one file per family and framework."""
