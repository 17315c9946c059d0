"""A fuzzer for what reads bytes from the network, guided by the lines that they reach."""
