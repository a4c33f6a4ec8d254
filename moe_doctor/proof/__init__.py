"""Does it really run? A tiny fused-MoE forward in a child process, compared with fp32.

    prove (parent) -> plan -> runner -> worker (child) -> adapter -> compare
                                  \\-> classify <- events

Only the child imports torch: `worker`, `inputs`, `compare` and what an adapter imports inside its
methods.
"""
