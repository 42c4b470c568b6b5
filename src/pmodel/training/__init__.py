"""One base LightningModule per way of training."""
