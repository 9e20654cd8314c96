"""`python -m derain`, which `torchrun -m derain` needs."""

from derain.cli import main

main()
