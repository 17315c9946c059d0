"""An ONNX file as a predictor: opens it, makes its metadata, compares its scores with its label output, runs it."""
