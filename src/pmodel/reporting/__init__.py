"""Plain numbers and tensors → tables and pictures."""
