"""Search for good settings: the space in Hydra's words, and the study that remembers its trials."""
