"""The OpenAPI document of an app, and its documentation page."""
