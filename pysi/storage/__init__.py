"""What is kept on disk: files that are written whole, checkpoints, the state of a run."""
