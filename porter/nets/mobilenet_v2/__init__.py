"""MobileNet V2."""
