"""AmoebaNet."""
