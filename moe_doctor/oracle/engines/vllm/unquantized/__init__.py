"""vLLM's unquantized oracle."""
