"""Side-by-side measurements against peers, and their recorded results: `python -m benchmarks`."""
