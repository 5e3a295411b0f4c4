"""Batch scoring side by side: a table of steps through our lanes, and through what others do."""
