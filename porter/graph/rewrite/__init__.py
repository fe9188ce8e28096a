"""Changes to a graph before it is run: pruned, frozen, widened, checked."""
