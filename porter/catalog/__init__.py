"""The known models: records, goldens and released checkpoints."""
