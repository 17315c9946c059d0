"""What an app says of itself: its OpenAPI document and its documentation page."""
