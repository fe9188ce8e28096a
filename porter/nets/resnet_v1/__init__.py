"""ResNet V1."""
