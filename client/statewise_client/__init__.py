"""Streams sequences to a Statewise server.

`aio` and `blocking` hold the same `Client`, for programs with an event loop and without one;
`errors` holds what they raise.
"""
