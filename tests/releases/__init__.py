"""Tools for a new vLLM release: what its wheel changes, and whether our tables follow it."""
