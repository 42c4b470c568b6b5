"""What lies on disk of a run: its files, who may write them, and opening it again."""
