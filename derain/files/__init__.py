"""Files: written whole or not at all, with what the file before had; temporary ones that are swept."""
