"""The machine: what it is, what it can do at most, and how time is taken on it."""
