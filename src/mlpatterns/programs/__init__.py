"""What works beside the predictors: each is a Program of a piece."""
