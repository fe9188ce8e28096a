"""Everything that computes a network's endpoints."""
