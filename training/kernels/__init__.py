"""The loop over steps, and its gradient by hand: compiled, with a fallback in torch operations."""
