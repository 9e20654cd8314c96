"""Rain layers: rendered, composed with a background, cleaned after they are discovered; and the scene they are in."""
