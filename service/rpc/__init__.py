"""The gRPC surface: the only folder that imports grpc."""
