"""What we are compared with: ASGI apps that uvicorn serves with the settings that our own worker has, and other model
servers, each in an environment of its own."""
