"""Reads ONNX files without loading them. Models that ONNX Runtime refuses can be read too."""
