"""What the paper says about its figures, and whether a result confirms it.

In reading order: `verdict` (what a claim and a verdict are), then one file per figure, which holds
the paper's words, what is counted as yes, and how it is measured. Each experiment names its own
claims: see `pysi.experiments.protocols`.
"""
