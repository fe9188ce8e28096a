"""Idioms: what several plain ops compute together, such as a leaky relu or an instance norm, as one table."""
