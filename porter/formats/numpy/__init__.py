"""numpy's files."""
