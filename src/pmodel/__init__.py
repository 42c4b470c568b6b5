"""Unsupervised learning and generative models: one command per experiment."""
