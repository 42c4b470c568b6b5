"""Networks whose features tell sets of examples apart."""
