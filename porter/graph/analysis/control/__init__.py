"""The control flow of a graph as one pass of inference sees it: loops as one node, conditions decided."""
