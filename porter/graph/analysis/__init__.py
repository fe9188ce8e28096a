"""Analyses of a graph: its inference path, layers, blocks, costs and differences."""
