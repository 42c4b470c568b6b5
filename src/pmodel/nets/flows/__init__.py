"""Layers of normalizing flows over images: `forward(x) -> (z, log_det)` and `inverse(z) -> x`."""
