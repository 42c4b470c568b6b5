"""Tensors and arrays in, images out."""
