"""What the policy and the PPM share to serve a model on vLLM."""
