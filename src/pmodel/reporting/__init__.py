"""Plain numbers and tensors → tables and images."""
