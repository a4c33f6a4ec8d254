"""vLLM's MXFP4 oracles: the general one, and the ones of gpt-oss and DeepSeek-V4."""
