"""Prediction on the user's device: a static site that holds the models and runs them in the browser."""

from mlpatterns.edge.serve import EdgeSite, site_app
from mlpatterns.edge.site import EdgeModel, build_site

__all__ = ["EdgeModel", "EdgeSite", "build_site", "site_app"]
