"""Linear layers around the experts: what a release raises about their quantization.

Attention, dense MLPs and shared experts are quantized like the experts and are built beside them;
a server whose linear layers are refused never comes to its experts' kernel.
"""
