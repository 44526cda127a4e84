"""What was found in ten thousand tiles as one answer: Features in one file, a raster in another."""
