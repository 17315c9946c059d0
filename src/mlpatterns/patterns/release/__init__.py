"""Release: from a registered model to one that serves."""
