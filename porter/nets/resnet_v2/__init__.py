"""ResNet V2."""
