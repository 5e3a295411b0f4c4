"""Who calls, and what and how much it may do."""
