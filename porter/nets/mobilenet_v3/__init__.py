"""MobileNet V3."""
