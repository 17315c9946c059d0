"""Reads ONNX files without loading them into ONNX Runtime, so it can also read models that ONNX Runtime refuses."""
