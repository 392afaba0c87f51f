"""What is settled, durably: one SQLite file a run directory, from which everything else can be made again."""
