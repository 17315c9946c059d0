"""What works beside the predictors: each program is handed the piece's model and options, and the runtime."""
