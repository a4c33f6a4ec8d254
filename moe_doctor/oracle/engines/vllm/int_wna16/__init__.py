"""Integer weights with 16-bit inputs: GPTQ, AWQ, compressed-tensors, moe_wna16."""
