"""The command line: one file a command, which parses, calls the Python API and prints.

A command's function is as long as its options are many: Typer reads one parameter for each.
"""
