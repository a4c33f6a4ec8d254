"""What machine is it: read once, read-only, guarded, and written as JSON.

A probe never raises and never hides: absent, failed and present are three values.
"""
