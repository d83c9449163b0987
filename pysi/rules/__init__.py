"""Consolidation rules: how a synapse comes to resist change."""
