"""PredictionLog: a record of every prediction, and the feedback on it."""
