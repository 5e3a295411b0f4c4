"""Streams that outlive their calls: kept in a store, resumed, exported, handed over."""
