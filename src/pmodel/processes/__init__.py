"""Who runs and who writes: the processes of a training, what they share, how they are stopped and how they end."""
