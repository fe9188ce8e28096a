"""The models that porter knows: their records, goldens and released checkpoints."""
