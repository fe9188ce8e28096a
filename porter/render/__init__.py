"""Results as people read them: text, pictures and one HTML page."""
