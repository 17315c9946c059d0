"""RemoteModel: a predictor that calls a model on another server over the Open Inference Protocol."""
