"""The Open Inference Protocol over REST, the code that gRPC shares, and the other requests of Triton's clients."""
