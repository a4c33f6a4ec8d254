"""Runs under the engine's own Python, which may know nothing of moe-doctor.

Nothing here imports another room, `typer` or `rich`; the syntax is Python 3.9's. The parent starts
it with `moe_doctor` as a bare name for this folder's grandparent, so that nothing of the parent's
environment gets onto the child's path.
"""
