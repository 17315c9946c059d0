"""The Open Inference Protocol over REST, the part that gRPC shares, and the other requests of Triton's clients."""
