"""Everything that writes ported weights: formats, destinations, and the facts that go with the weights."""
