"""RemoteModel: a model on another server of the Open Inference Protocol as a predictor."""
