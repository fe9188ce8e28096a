"""What a user asks for: port, verify, check, inspect, load, endpoints, fetch, seed, decompile."""
