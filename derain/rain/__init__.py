"""Rain layers: rendered, composed with a background, and cleaned after they are discovered."""
