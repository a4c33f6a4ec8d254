"""A release's own availability checks, one file per library.

Each file has FEATURES: feature name -> function(machine, release) that gives None when the check
answers yes, and the reason, one clause, when it answers no.
"""
