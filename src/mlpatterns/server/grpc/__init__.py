"""The gRPC face: the Open Inference Protocol, health and reflection over gRPC, through the dispatcher of all faces."""
