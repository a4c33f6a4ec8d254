"""Our own Triton fused MoE beside its torch reference.

Importing a module of this room imports torch, and the Triton ones import triton: the parent
process of the doctor never does; only the child that runs a proof, and the tests. `schemes` alone
imports neither.
"""
