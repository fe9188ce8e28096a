"""NASNet-A."""
