"""vLLM's FP8 oracle."""
