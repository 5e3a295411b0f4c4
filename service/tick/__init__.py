"""The batch is made here, and here the states live: queue, gather, step, scatter, answers."""
