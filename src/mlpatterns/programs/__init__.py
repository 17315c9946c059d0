"""The programs that run alongside the predictors. Each gets the options of its piece and the runtime."""
