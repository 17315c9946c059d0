"""What works beside predictors: one file a program."""
