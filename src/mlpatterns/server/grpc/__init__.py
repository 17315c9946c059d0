"""The gRPC face: its calls, the streams of health and reflection, and the Open Inference Protocol over it."""
