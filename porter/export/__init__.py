"""Writers of ported weights, and what the files say of their origin."""
