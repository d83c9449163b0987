"""The paper's experiments: protocol, runs, result."""
