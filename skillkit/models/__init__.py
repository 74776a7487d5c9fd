"""Frozen backbones: loading, the table of architectures, the one hook primitive."""
