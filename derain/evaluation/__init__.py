"""Scores of rain removal: paired and unpaired, photos and clips, with intervals, as table, files and report."""
