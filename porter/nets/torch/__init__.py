"""The networks in PyTorch: NCHW in, logits out, with timm's parameter names."""
