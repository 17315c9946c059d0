"""Release: how a registered model gets into a server."""
