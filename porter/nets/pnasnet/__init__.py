"""PNASNet-5."""
