"""What happens beside the training: pictures, checkpoints, progress."""
