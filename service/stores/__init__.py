"""Where states are kept: in memory, in an SQLite file, in Redis."""
