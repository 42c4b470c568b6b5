"""Networks: plain torch.nn.Modules that know no likelihood, no loss and no Lightning."""
