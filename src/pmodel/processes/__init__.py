"""Who runs: the processes of a training, what they share, and how they are stopped."""
