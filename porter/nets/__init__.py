"""The networks: one folder for each family, with its records, its design and one handwritten file per framework."""
