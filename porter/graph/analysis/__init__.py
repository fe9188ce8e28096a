"""What follows from a graph: layers, blocks, costs, differences."""
