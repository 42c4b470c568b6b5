"""What happens beside the training: images, checkpoints, progress."""
