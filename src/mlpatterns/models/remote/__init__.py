"""Another server of the Open Inference Protocol as a predictor."""
