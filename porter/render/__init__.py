"""Results for people: text for a terminal, SVG diagrams and self-contained HTML pages."""
