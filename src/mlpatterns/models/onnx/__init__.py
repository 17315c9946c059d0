"""An ONNX file as a predictor: opened, described, checked against its own label, run."""
