"""The command `statewise`: what it reads, what it prints."""
