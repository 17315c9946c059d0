"""gRPC over HTTP/2: jh2 speaks HTTP/2, what is here is gRPC and what a server owes those who attack it."""
