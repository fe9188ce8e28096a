"""MobileNet V1."""
