"""What an ONNX file says, read without loading it: a model that ONNX Runtime would refuse can be read too."""
