"""From a checkpoint's declaration to the quantization method that vLLM builds for its experts.

The order is vLLM's own: `declared` (what the files say), `names` (which registered method takes
them, by override and priority), `demands` (GPU and dtype), then one module per family, which
says what the method asks its oracle, or that the release has none for it.
"""
