"""Search service: Monte Carlo tree search over reasoning steps, behind REST and gRPC."""
