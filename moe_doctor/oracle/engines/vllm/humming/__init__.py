"""Humming's own choice between its three classes, without candidates of other backends."""
