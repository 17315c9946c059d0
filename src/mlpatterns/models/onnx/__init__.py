"""An ONNX file as a predictor: opens it, describes it, compares its scores with its label output, runs it."""
