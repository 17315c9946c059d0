"""PredictionLog: a record of every prediction, and what was learned of it later."""
