"""A photo through a network: on a device, at every scale, in tiles."""
