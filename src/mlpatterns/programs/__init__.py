"""What works beside the predictors: one file a program, which is handed its piece's options and the runtime."""
