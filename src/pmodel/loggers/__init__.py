"""Where a training's numbers and images go while it runs."""
