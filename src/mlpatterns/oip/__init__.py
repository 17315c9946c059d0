"""The Open Inference Protocol, for server and client: requests and answers as bytes, tensors, errors and limits."""
