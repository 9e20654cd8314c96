"""The command line: one file a command, which parses, calls the Python API and prints."""
