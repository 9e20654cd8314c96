"""What the files of clips say beside pictures and sound: read, checked, and kept for the result."""
