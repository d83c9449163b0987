"""What is kept on disk: whole files or none, checkpoints, the state of a run."""
