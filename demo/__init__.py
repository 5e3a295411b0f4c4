"""The whole path on real data as one command: fetch, train, prove, serve, stream, score."""
