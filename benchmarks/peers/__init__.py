"""What we are compared with: each an ASGI app that uvicorn serves with the settings that our own worker has."""
