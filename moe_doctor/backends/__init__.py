"""What each experts class can take: tables of constraints with release ranges, never torch.

One file per kernel family. A new kernel is a new `Kernel` in one of these files and its name in
`registry.py`; a changed predicate is one more row with its first release.
"""
