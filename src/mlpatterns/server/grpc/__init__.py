"""The gRPC API: the Open Inference Protocol, health and reflection, with the dispatcher that HTTP also uses."""
